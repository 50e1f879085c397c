//! E-mail, by the operator's mail server.

use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result};
use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::message::{Mailbox, Message};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, Tls, TlsParameters};
use lettre::{Address, AsyncSmtpTransport, AsyncTransport as _, Tokio1Executor};
use secrecy::ExposeSecret as _;
use turnpike_shop::notices::{Outcome, Outgoing};
use turnpike_web::Letter;

use crate::config::{MailTls, Smtp};

/// For each step of a conversation with the mail server.
const PATIENCE: Duration = Duration::from_secs(20);

/// What sends mail.
pub(super) struct Postman {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
}

impl Postman {
    /// # Errors
    /// The file of the server's certificate authority cannot be used.
    pub(super) fn new(smtp: &Smtp) -> Result<Self> {
        let tls = match smtp.tls {
            MailTls::Off => Tls::None,
            MailTls::Starttls => Tls::Required(parameters(smtp)?),
            MailTls::On => Tls::Wrapper(parameters(smtp)?),
        };
        let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&smtp.host)
            .port(smtp.port)
            .tls(tls)
            .timeout(Some(PATIENCE));
        if let Some((user, password)) = &smtp.login {
            builder = builder.credentials(Credentials::new(user.clone(), password.expose_secret().to_owned()));
        }
        Ok(Self {
            transport: builder.build(),
            from: smtp.from.clone(),
        })
    }

    pub(super) async fn send(&self, notice: &Outgoing, to: &str, public_url: &str) -> Outcome {
        let Ok(to) = to.parse::<Address>() else {
            return Outcome::Refused("the account's address cannot be written to".to_owned());
        };
        let Some(letter) = Letter::of(notice, public_url) else {
            return Outcome::Refused("there are no words for this notice".to_owned());
        };
        let message = Message::builder()
            .from(self.from.clone())
            .to(Mailbox::new(None, to))
            // The same for each attempt, so that a mail program shows one that came twice once.
            .message_id(Some(format!("<{}@{}>", notice.notice, self.from.email.domain())))
            .subject(letter.subject)
            // RFC 3834 §5: no out-of-office note is to answer it.
            .raw_header(HeaderValue::new(
                HeaderName::new_from_ascii_str("Auto-Submitted"),
                "auto-generated".to_owned(),
            ))
            .header(ContentType::TEXT_PLAIN)
            .body(letter.text);
        let message = match message {
            Ok(message) => message,
            Err(error) => return Outcome::Refused(format!("it cannot be written: {error}")),
        };
        match self.transport.send(message).await {
            Ok(_) => Outcome::Delivered("the mail server took it".to_owned()),
            Err(error) if error.is_permanent() => Outcome::Refused(format!("the mail server refused it: {error}")),
            Err(error) => Outcome::Failed(format!("the mail server did not take it: {error}")),
        }
    }
}

fn parameters(smtp: &Smtp) -> Result<TlsParameters> {
    let mut builder = TlsParameters::builder(smtp.host.clone());
    if let Some(file) = &smtp.roots {
        let shown = file.display();
        let pem = fs::read(file).with_context(|| format!("notices.smtp.roots: {shown} cannot be read"))?;
        let certificate = Certificate::from_pem(&pem)
            .with_context(|| format!("notices.smtp.roots: {shown} holds no certificate in PEM"))?;
        builder = builder.add_root_certificate(certificate);
    }
    builder.build_rustls().context("preparing TLS for the mail server")
}
