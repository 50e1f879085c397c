//! What a page says of what was just done.

use super::texts;

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
                match self { $(Self::$name => texts().$text,)+ }
            }
        }
    };
}

notices! {
    SignedOut = "signed-out", signed_out;
    Confirmed = "confirmed", confirmed;
    PasswordChanged = "password-changed", password_changed;
    SessionEnded = "session-ended", session_ended;
    OthersEnded = "others-ended", others_ended;
    Bought = "bought", bought_done;
    Renewed = "renewed", renewed_done;
    NoteSaved = "note-saved", note_saved;
    AutoRenewOn = "auto-renew-on", auto_renew_on_done;
    AutoRenewOff = "auto-renew-off", auto_renew_off_done;
    Rotated = "rotated", rotated_done;
    PolicySet = "policy-set", policy_set;
    Switched = "switched", switched_done;
    CredentialsChanged = "credentials-changed", credentials_changed;
    UrlRenewed = "url-renewed", url_renewed;
    LinkMade = "link-made", link_made;
    LinkRenewed = "link-renewed", link_renewed;
    LinkRevoked = "link-revoked", link_revoked;
    SourcesSet = "sources-set", sources_set;
    KeyRevoked = "key-revoked", key_revoked;
    Booked = "booked", booked_done;
    Refunded = "refunded", refunded_done;
    Suspended = "suspended", suspended_done;
    Resumed = "resumed", resumed_done;
    TrialPermission = "trial-permission", trial_permission_done;
    NoticesSaved = "notices-saved", saved;
    WebhookEnabled = "webhook-enabled", saved;
    WebhookDeleted = "webhook-deleted", webhook_deleted;
    TestSent = "test-sent", test_sent;
    Redelivered = "redelivered", redelivered;
    ViewEnded = "view-ended", view_ended_done;
    PlanSaved = "plan-saved", plan_saved_done;
    PlanRetired = "plan-retired", plan_retired_done;
    CouponSaved = "coupon-saved", coupon_saved_done;
    CouponRetired = "coupon-retired", coupon_retired_done;
    CatalogueApplied = "catalogue-applied", catalogue_applied_done;
    ExitDraining = "exit-draining", exit_draining_done;
    ExitDisabled = "exit-disabled", exit_disabled_done;
    ExitOpen = "exit-open", exit_open_done;
    NetworkDraining = "network-draining", network_draining_done;
    NetworkDisabled = "network-disabled", network_disabled_done;
    NetworkOpen = "network-open", network_open_done;
    SecondFactorOff = "second-factor-off", second_factor_off_done;
}
