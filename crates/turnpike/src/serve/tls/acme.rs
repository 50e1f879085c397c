//! A certificate from an ACME directory (RFC 8555), ordered for `gateway.public_host` and renewed when two thirds of its time
//! are over. The directory asks over plain HTTP whether the name is ours (HTTP-01); docs/decisions has why.

use std::collections::HashMap;
use std::fs;
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use base64::Engine as _;
use base64::alphabet::URL_SAFE;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use instant_acme::{
    Account, AccountBuilder, AccountCredentials, AuthorizationStatus, ChallengeType, Error, ExternalAccountKey,
    Identifier, NewAccount, NewOrder, Order, OrderStatus, RetryPolicy,
};
use tempfile::NamedTempFile;
use tokio::net::TcpListener;
use turnpike_gateway::Certificate;

use super::{Keeper, TICK};
use crate::certificate;
use crate::config::{Acme, Config, ExternalAccount};
use crate::document::Mistake;

/// An order that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(300);

/// How long to wait after an order has failed: twice as long each time. Directories allow five failures an hour.
const FIRST_PAUSE: Duration = Duration::from_secs(60);
const LONGEST_PAUSE: Duration = Duration::from_secs(6 * 3_600);

/// What an account is that the directory has forgotten, or never knew.
const NO_ACCOUNT: &str = "urn:ietf:params:acme:error:accountDoesNotExist";

/// What a directory says that makes accounts for its own customers only (RFC 8555 §7.3.4).
const WANTS_EXTERNAL_ACCOUNT: &str = "urn:ietf:params:acme:error:externalAccountRequired";

/// Orders for one name at one directory.
pub(in crate::serve) struct Orders {
    acme: Acme,
    external_account: Option<ExternalAccountKey>,
    host: String,
    folder: PathBuf,
    answers: Answers,
    /// Where the answers are given.
    listeners: Vec<TcpListener>,
    kept: Option<Certificate>,
}

/// What the directory is to be answered, by the token that it asks with.
#[derive(Debug, Clone, Default)]
pub(in crate::serve) struct Answers(Arc<Mutex<HashMap<String, String>>>);

impl Answers {
    pub(in crate::serve) fn get(&self, token: &str) -> Option<String> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(token)
            .cloned()
    }

    fn set(&self, token: String, answer: String) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(token, answer);
    }

    fn clear(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

impl Orders {
    pub(super) fn open(config: &Config, acme: &Acme) -> Result<Self> {
        let folder = folder(config, acme);
        let external_account = acme.external_account.as_ref().map(bound_to).transpose()?;
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder);
        made.with_context(|| format!("gateway.tls.cache: the folder {} cannot be made", folder.display()))?;
        let mut listeners = Vec::new();
        for address in &acme.challenge_listen {
            listeners.extend(listen(*address)?);
        }
        let host = config.gateway.public_host.clone();
        let file = certificate_file(&folder, &host);
        let kept = file.exists().then(|| certificate::read_ordered(&file));
        let kept = kept.transpose().unwrap_or_else(|mistake| {
            tracing::warn!("{mistake}; another certificate is ordered");
            None
        });
        Ok(Self {
            acme: acme.clone(),
            external_account,
            host,
            folder,
            answers: Answers::default(),
            listeners,
            kept,
        })
    }

    pub(super) fn take_listeners(&mut self) -> Vec<(TcpListener, Answers)> {
        let listeners = std::mem::take(&mut self.listeners).into_iter();
        listeners.map(|listener| (listener, self.answers.clone())).collect()
    }

    /// One that was ordered before.
    pub(super) fn kept(&self) -> Option<Certificate> {
        self.kept.clone()
    }

    /// Orders whenever it is time to.
    pub(super) async fn keep(self, keeper: &mut Keeper) {
        let mut pause = FIRST_PAUSE;
        let mut next_try = tokio::time::Instant::now();
        loop {
            keeper.tell().await;
            let now = keeper.shop.now().0;
            let is_due = keeper.present.as_ref().is_none_or(|present| renewal(present) <= now);
            if is_due && tokio::time::Instant::now() >= next_try {
                match self.obtain().await {
                    Ok(certificate) => {
                        let until = certificate::until(&certificate, now);
                        tracing::info!(
                            directory = self.acme.directory,
                            "a certificate for {} was ordered; it {until}",
                            self.host
                        );
                        keeper.serve(certificate);
                        pause = FIRST_PAUSE;
                        // One that is due at once must not be ordered without a pause.
                        next_try = tokio::time::Instant::now() + TICK;
                    }
                    Err(error) => {
                        let minutes = pause.as_secs().div_ceil(60);
                        tracing::error!(
                            "no certificate for {} could be ordered at {}: {error:#}; it is tried again in {minutes} min",
                            self.host,
                            self.acme.directory
                        );
                        next_try = tokio::time::Instant::now() + pause;
                        pause = (pause * 2).min(LONGEST_PAUSE);
                    }
                }
            }
            tokio::time::sleep(TICK).await;
        }
    }

    async fn obtain(&self) -> Result<Certificate> {
        let ordered = tokio::time::timeout(PATIENCE, self.order()).await;
        self.answers.clear();
        let pem = ordered.map_err(|_| anyhow!("the directory took longer than five minutes"))??;
        let certificate =
            Certificate::from_pem(pem.as_bytes(), pem.as_bytes()).map_err(|error| anyhow!("what it gave {error}"))?;
        write(&certificate_file(&self.folder, &self.host), &pem)?;
        Ok(certificate)
    }

    /// A key and the certificate for it, as one text.
    async fn order(&self) -> Result<String> {
        let name = [Identifier::Dns(self.host.clone())];
        let mut order = match self.account().await?.new_order(&NewOrder::new(&name)).await {
            Err(Error::Api(problem)) if problem.r#type.as_deref() == Some(NO_ACCOUNT) => {
                fs::remove_file(self.account_file())
                    .context("forgetting an account that the directory does not know")?;
                self.account().await?.new_order(&NewOrder::new(&name)).await?
            }
            order => order?,
        };
        self.prepare(&mut order).await?;
        match order.poll_ready(&patient()).await {
            Ok(OrderStatus::Ready) => {}
            Ok(_) => return Err(refusal(&mut order).await),
            Err(error @ Error::Api(_)) => {
                return Err(refusal(&mut order).await.context(error.to_string()));
            }
            Err(error) => return Err(error.into()),
        }
        let key = order.finalize().await?;
        let chain = order.poll_certificate(&patient()).await?;
        Ok(key + &chain)
    }

    /// Makes ready what the directory will ask for, and says so.
    async fn prepare(&self, order: &mut Order) -> Result<()> {
        let mut authorizations = order.authorizations();
        while let Some(authorization) = authorizations.next().await {
            let mut authorization = authorization?;
            if authorization.status == AuthorizationStatus::Valid {
                continue;
            }
            let Some(mut challenge) = authorization.challenge(ChallengeType::Http01) else {
                bail!("the directory does not ask by HTTP (HTTP-01) whether the name is ours");
            };
            let answer = challenge.key_authorization().as_str().to_owned();
            self.answers.set(challenge.token.clone(), answer);
            challenge.set_ready().await?;
        }
        Ok(())
    }

    async fn account(&self) -> Result<Account> {
        let file = self.account_file();
        if file.exists() {
            let text = fs::read_to_string(&file).with_context(|| format!("{} cannot be read", file.display()))?;
            let credentials: AccountCredentials =
                serde_json::from_str(&text).with_context(|| format!("{} holds no account", file.display()))?;
            return Ok(self.builder()?.from_credentials(credentials).await?);
        }
        let contact = self.acme.contact.as_ref().map(|address| format!("mailto:{address}"));
        let contact: Vec<_> = contact.as_deref().into_iter().collect();
        let wanted = NewAccount {
            contact: &contact,
            // Whoever sets `acme = true` does; the guide says so.
            terms_of_service_agreed: true,
            only_return_existing: false,
        };
        let directory = self.acme.directory.clone();
        let bound = self.external_account.as_ref();
        let (account, credentials) = match self.builder()?.create(&wanted, directory, bound).await {
            Err(Error::Api(problem)) if problem.r#type.as_deref() == Some(WANTS_EXTERNAL_ACCOUNT) => bail!(
                "it makes accounts for its customers only ({problem}); get an EAB key from it, and set gateway.tls.eab_key_id \
                 and gateway.tls.eab_key"
            ),
            made => made?,
        };
        write(&file, &serde_json::to_string(&credentials)?)?;
        Ok(account)
    }

    fn builder(&self) -> Result<AccountBuilder> {
        Ok(match &self.acme.directory_roots {
            None => Account::builder()?,
            Some(roots) => Account::builder_with_root(roots)
                .with_context(|| format!("gateway.tls.directory_roots names {}", roots.display()))?,
        })
    }

    fn account_file(&self) -> PathBuf {
        self.folder.join("account.json")
    }
}

/// The key of an account outside, read from its file.
fn bound_to(account: &ExternalAccount) -> Result<ExternalAccountKey, Mistake> {
    // Directories show it with padding and without.
    const LENIENT: GeneralPurpose = GeneralPurpose::new(
        &URL_SAFE,
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
    );
    let text = fs::read_to_string(&account.key.path)
        .map_err(|error| account.key.wrong(format_args!("cannot be read: {error}")))?;
    let key = LENIENT.decode(text.trim()).ok().filter(|key| !key.is_empty());
    let key = key.ok_or_else(|| account.key.wrong("holds no key in base64 (of URLs, with - and _)"))?;
    Ok(ExternalAccountKey::new(account.key_id.clone(), &key))
}

/// What was ordered lies apart by directory: certificates of one that is for trials are not taken for real ones.
pub(crate) fn folder(config: &Config, acme: &Acme) -> PathBuf {
    let url = url::Url::parse(&acme.directory).ok();
    let authority = url.as_ref().map_or("directory", |url| {
        &url[url::Position::BeforeHost..url::Position::AfterPort]
    });
    config.acme_folder(acme).join(authority.replace(':', "_"))
}

/// The certificate for a name, with its key.
pub(crate) fn certificate_file(folder: &Path, host: &str) -> PathBuf {
    folder.join(format!("{host}.pem"))
}

/// When it is to be renewed, in milliseconds.
fn renewal(certificate: &Certificate) -> i64 {
    let whole = certificate.ends_at().saturating_sub(certificate.starts_at());
    certificate.ends_at() - whole / 3
}

fn patient() -> RetryPolicy {
    RetryPolicy::new().timeout(PATIENCE)
}

/// Why an order has come to nothing, in the directory's own words.
async fn refusal(order: &mut Order) -> anyhow::Error {
    let mut authorizations = order.authorizations();
    while let Some(Ok(mut authorization)) = authorizations.next().await {
        let Ok(state) = authorization.refresh().await else {
            continue;
        };
        let told = state.challenges.iter().find_map(|challenge| challenge.error.as_ref());
        if let Some(problem) = told {
            return anyhow!("it could not find out that the name is ours: {problem}");
        }
    }
    anyhow!("it refused the order")
}

/// Writes a file that only its owner may read, whole or not at all.
fn write(file: &Path, text: &str) -> Result<()> {
    let folder = file.parent().unwrap_or(Path::new("."));
    let written = || -> io::Result<()> {
        let mut new = NamedTempFile::new_in(folder)?;
        new.write_all(text.as_bytes())?;
        new.as_file().sync_all()?;
        new.persist(file)?;
        fs::File::open(folder)?.sync_all()
    };
    written().with_context(|| format!("{} cannot be written", file.display()))
}

/// Listens for the directory's questions. IPv6 alone, so that both families can have the same port; absent where this machine
/// does not have the family.
fn listen(address: SocketAddr) -> Result<Option<TcpListener>> {
    let listening = || -> io::Result<TcpListener> {
        let socket = match address {
            SocketAddr::V4(_) => tokio::net::TcpSocket::new_v4()?,
            SocketAddr::V6(_) => {
                let socket = tokio::net::TcpSocket::new_v6()?;
                rustix::net::sockopt::set_ipv6_v6only(&socket, true)?;
                socket
            }
        };
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(64)
    };
    match listening() {
        Ok(listener) => Ok(Some(listener)),
        Err(error) if is_absent_family(&error) && address.ip().is_unspecified() => Ok(None),
        Err(error) => Err(anyhow!(
            "gateway.tls.challenge_listen: {address} cannot be listened on ({error}); stop what has it, or let it pass on what \
             is asked for under /.well-known/acme-challenge/ to another address, and name that here"
        )),
    }
}

fn is_absent_family(error: &io::Error) -> bool {
    error.raw_os_error() == Some(rustix::io::Errno::AFNOSUPPORT.raw_os_error())
        || error.kind() == io::ErrorKind::AddrNotAvailable
}
