//! Every word that the pages say. Another language is another value of [`Texts`].

macro_rules! texts {
    ($($name:ident = $text:literal;)+) => {
        /// The words of one language.
        pub(crate) struct Texts {
            $(pub(crate) $name: &'static str,)+
        }

        /// English.
        pub(crate) const ENGLISH: Texts = Texts { $($name: $text,)+ };
    };
}

/// What the page after an action says.
macro_rules! notices {
    ($($name:ident = $word:literal, $text:ident;)+) => {
        /// What was just done.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Notice { $($name,)+ }

        impl Notice {
            /// Its word in the cookie.
            pub(crate) fn word(self) -> &'static str {
                match self { $(Self::$name => $word,)+ }
            }

            /// The notice of a word.
            pub(crate) fn find(word: &str) -> Option<Self> {
                match word { $($word => Some(Self::$name),)+ _ => None }
            }

            /// What it says.
            pub(crate) fn text(self) -> &'static str {
                match self { $(Self::$name => ENGLISH.$text,)+ }
            }
        }
    };
}

notices! {
    SignedOut = "signed-out", signed_out;
    PasswordChanged = "password-changed", password_changed;
    SessionEnded = "session-ended", session_ended;
    OthersEnded = "others-ended", others_ended;
    SecondFactorOff = "second-factor-off", second_factor_off_done;
}

texts! {
    language = "en";
    direction = "ltr";
    product = "Turnpike";
    skip = "Skip to the content";
    navigation = "Main";
    overview = "Overview";
    account = "Account";
    balance = "Balance";
    sign_in = "Sign in";
    sign_out = "Sign out";
    sign_up = "Create an account";
    sign_up_lead = "Buy and run your own proxies. You need an e-mail address and a password.";
    have_account = "Have an account already?";
    no_account = "No account yet?";
    email = "E-mail address";
    password = "Password";
    password_rule = "10 to 256 characters.";
    code = "Code";
    code_heading = "Enter your code";
    code_lead = "Open your authenticator app and enter the six digits it shows now. A recovery code works as well, once.";
    continue_ = "Continue";
    confirm_heading = "Confirm it is you";
    confirm_lead = "The next step can change who gets into your account, so please enter your password once more.";
    setup_heading = "Make the first operator";
    setup_lead = "This shop is new. The account you make here runs it.";
    setup_action = "Create operator";
    signed_out = "You are signed out.";
    not_found = "There is nothing here";
    forbidden = "That is not allowed";
    refused = "That did not work";
    too_many = "Too fast";
    unavailable = "Back in a moment";
    broken = "Something broke on our side";
    request_id = "Request";
    to_overview = "Go to the overview";
    welcome = "Welcome";
    account_lead = "Your password, second factor and signed-in browsers.";
    change_password = "Change password";
    current_password = "Current password";
    new_password = "New password";
    change_password_note = "All other browsers are signed out, and API tokens stop working. API keys keep working.";
    password_changed = "Your password is changed, and all other browsers are signed out.";
    second_factor = "Second factor";
    second_factor_is_on = "On: signing in asks for a code from your authenticator app.";
    second_factor_is_off = "Off. With it, a stolen password alone does not open your account.";
    second_factor_set_up = "Set up";
    second_factor_manage = "Manage";
    second_factor_scan = "Scan this picture with your authenticator app, then enter the code it shows.";
    second_factor_key = "Or type this key into the app";
    second_factor_enable = "Turn on";
    second_factor_disable = "Turn off";
    second_factor_disable_note = "Signing in will ask for your password only. Your recovery codes stop working.";
    second_factor_off_done = "The second factor is off.";
    second_factor_picture = "The secret as a QR code";
    recovery_left = "Recovery codes left";
    recovery_heading = "Keep these recovery codes";
    recovery_lead = "The second factor is on. If you lose your authenticator app, each of these codes gets you in once. They are shown only now.";
    recovery_done = "I have saved them";
    sessions = "Signed-in browsers";
    this_browser = "This browser";
    end_session = "Sign out";
    end_others = "Sign out all others";
    session_ended = "That browser is signed out.";
    others_ended = "All other browsers are signed out.";
    browser = "Browser";
    address = "Address";
    last_used = "Last used";
    since = "Signed in";
    unknown_browser = "Unknown browser";
}
