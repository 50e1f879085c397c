//! Every word that the pages say. Another language is another value of [`Texts`] and, for operators' pages, of [`OperatorTexts`].

use turnpike_shop::Refusal;

macro_rules! texts {
    ($kind:ident, $english:ident: $($name:ident = $text:literal;)+) => {
        /// The words of one language.
        pub(crate) struct $kind {
            $(pub(crate) $name: &'static str,)+
        }

        /// English.
        pub(crate) const $english: $kind = $kind { $($name: $text,)+ };
    };
}

mod operators;

pub(crate) use operators::{OPERATORS, OperatorTexts};

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
    SecondFactorOff = "second-factor-off", second_factor_off_done;
}

texts! {
    Texts, ENGLISH:
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
    one_day = "day";
    days = "days";
    one_hour = "hour";
    hours = "hours";
    minutes = "min";
    available = "Free now";
    refusals = "Refused lately";
    refusals_lead = "Attempts to use this port that were turned away in the last week, and what to do about them.";
    from = "From";
    protocol = "Protocol";
    how_often = "Times";
    reason = "Why";
    copy = "Copy";
    copied = "Copied";
    optional = "optional";
    active_subscriptions = "Active subscriptions";
    to_plans = "See plans";
    ending_soon = "Ending next";
    all_subscriptions = "All subscriptions";
    traffic_days = "Traffic of the last 14 days";
    traffic_none = "No traffic in the last 14 days.";
    traffic_table = "Numbers";
    day = "Day";
    sent = "Sent";
    received = "Received";
    nothing_yet = "Nothing here yet";
    nothing_bought = "You have no subscriptions. Choose a plan, and it is ready to use a second later.";
    plans = "Plans";
    plans_lead = "Each plan gives you a port of your own, for HTTP, SOCKS5, VLESS and Shadowsocks.";
    country = "Country";
    any_country = "All countries";
    connection_type = "Type";
    any_network = "All networks";
    any_type = "All types";
    order = "Order";
    by_country = "By country";
    by_price = "By price";
    show = "Show";
    no_plans = "No plan fits";
    no_plans_lead = "Nothing is sold that fits this filter.";
    clear_filter = "Clear the filter";
    popular = "Popular";
    private = "Private";
    shared = "Shared";
    private_lead = "The whole exit is yours: you rotate it when you like.";
    shared_lead = "You share the exit with a few others.";
    free = "free";
    sold_out = "Sold out";
    choose = "Choose";
    traffic_unit = "of traffic";
    connections = "connections";
    client_addresses = "client addresses";
    quantity = "How many";
    repeat = "How many periods";
    repeat_note = "Multiplies time and price of each.";
    coupon = "Coupon";
    show_price = "Update price";
    total = "Total";
    buy = "Buy";
    instead_of = "instead of";
    bought_done = "Bought. It is ready to use.";
    per = "for";
    subscriptions = "Subscriptions";
    search = "Search";
    search_hint = "Note, network or port";
    status = "Status";
    any_status = "All";
    active = "Active";
    expired = "Ended";
    newest = "Newest first";
    ends_first = "Ends first";
    no_match = "Nothing fits";
    no_match_lead = "No subscription fits this search.";
    port = "Port";
    network = "Network";
    note = "Note";
    ends = "Ends";
    left = "left";
    first_page = "First page";
    next_page = "Next page";
    renew = "Renew";
    connect = "Connect";
    server = "Server";
    user = "User name";
    profile = "For apps";
    profile_lead = "sing-box, Clash, Hiddify and others load this URL and stay up to date by themselves.";
    profile_all = "All in one URL";
    profile_all_lead = "For apps and programs: whatever you buy later is in it too.";
    profile_secret = "It is as secret as the password.";
    profile_picture = "The subscription URL as a QR code";
    renew_url = "Make a new URL";
    renew_url_note = "The old one stops working.";
    url_renewed = "The URL is new. The old one does not work any more.";
    as_picture = "QR code";
    links = "Links and addresses";
    links_lead = "Links let programs and people rotate this exit, or see how it stands, without your password.";
    own_link = "Main link";
    rotating_link = "Rotates the exit";
    status_link = "Only shows how it stands";
    made = "Made";
    renew_link = "Renew";
    renew_link_note = "Renewing gives a link a new address, and the old one stops working. Other links stay as they are.";
    new_link = "New link";
    create_link = "Create link";
    link_made = "The link is made.";
    link_renewed = "The link has a new address. The old one does not work any more.";
    link_revoked = "The link is revoked.";
    sources = "Without a password";
    sources_lead = "From these addresses, HTTP and SOCKS5 ask for no password on this port.";
    sources_label = "Addresses and networks";
    sources_hint = "One a line, like 192.0.2.7 or 2001:db8::/48. Empty: the password is always asked for.";
    sources_set = "Saved.";
    exports = "Download as";
    exit = "Exit";
    exit_address = "Address now";
    exit_up = "Working";
    exit_down = "Not working at the moment";
    exit_unknown = "Not tried yet";
    not_known = "not known yet";
    rotate_now = "Rotate now";
    rotating = "A rotation is under way.";
    rotate_wait = "Can rotate again in";
    seconds = "s";
    no_rotation = "This exit keeps its address.";
    rotated_done = "Rotated.";
    rotation_policy = "Rotate by itself";
    never = "Never";
    every = "Every";
    save = "Save";
    policy_set = "Saved.";
    address_history = "Earlier addresses";
    switch_network = "Switch network";
    switch_note = "Port, user name and password stay. Open connections end.";
    switch = "Switch";
    no_other_network = "No other network has room just now.";
    switched_done = "Switched to the other network.";
    change_credentials = "New password";
    change_credentials_note = "Makes a new password and VLESS id. Every connection that uses the old ones ends at once, and your programs need the new ones.";
    change_credentials_action = "Make a new password";
    credentials_changed = "The password is new. Programs with the old one are cut off.";
    note_hint = "Only you see it.";
    note_saved = "Saved.";
    limits = "Use";
    traffic_so_far = "Traffic so far";
    traffic_left = "Traffic left";
    speed = "Speed";
    most_connections = "Connections at a time";
    most_addresses = "Client addresses at a time";
    renewed_done = "Renewed.";
    auto_renew = "Renew by itself";
    auto_renew_off = "No, let it end";
    auto_renew_lead = "It is paid from your balance before it ends, at the price of that day. If your balance is too short, it is tried again until the end.";
    auto_renew_next = "Next on";
    auto_renew_no_plan = "The plan you chose cannot renew this subscription any more. Choose another.";
    auto_renew_on = "Renews itself";
    auto_renew_on_done = "Saved. It will renew itself.";
    auto_renew_off_done = "Saved. It will not renew itself.";
    renew_lead = "The time is added to what is left.";
    renew_none = "No plan can renew this subscription now.";
    plan = "Plan";
    ended_lead = "This subscription has ended. Its port is kept for a while: renew it, and it works again.";
    statement = "Statement";
    statement_lead = "Every change of your balance, newest first.";
    statement_empty = "Your balance has not changed yet.";
    download_csv = "Download CSV";
    time = "Time";
    what = "What";
    amount = "Amount";
    credit = "Credit";
    debit = "Debit";
    purchase = "Purchase";
    renewal = "Renewal";
    trial = "Trial";
    refund = "Refund";
    booking = "Booking";
    keys = "API keys";
    keys_lead = "Programs act for you with a key. Give each its own, and revoke it when you no longer need it.";
    keys_empty = "You have no API key.";
    key_made = "Your new key";
    key_made_lead = "Copy it now: it is not shown again.";
    key_try = "Try it";
    key_name = "Name";
    key_access = "Access";
    read_only = "Read only";
    full_access = "Full";
    full_access_note = "may buy and change";
    reference = "API";
    reference_lead = "Everything that these pages do, programs can do too. The examples carry your own plans and subscriptions; paste them as they are.";
    reference_how = "How to ask";
    reference_how_lead = "Make a key on the page of API keys and keep it in the environment. Examples with TOKEN want a token of /api/auth/token in its place. This page is made of the OpenAPI document, from which tools make clients:";
    reference_rules = "Times are Unix milliseconds, money is whole cents. Every answer has ok: true; an error has ok: false, a sentence in error, a code that does not change, and a requestId. Lists that are longer than a page give nextCursor, which is sent as cursor for the next.";
    examples_in = "Examples in";
    reference_fields = "Fields";
    reference_answer = "Answer and errors";
    reference_parts = "What answers hold";
    needed = "needed";
    key_operator = "May run the shop, by /api/admin";
    key_days = "Works for, in days";
    key_days_hint = "Empty: for ever.";
    key_sources = "Only from";
    key_sources_hint = "Addresses or networks with commas between them. Empty: from anywhere.";
    anywhere = "Anywhere";
    expires = "Expires";
    create_key = "Create key";
    new_key = "New key";
    revoke = "Revoke";
    over = "Expired";
    key_revoked = "The key is revoked.";
    operating = "The shop's";
    own_part = "Your own";
    shop = "Shop";
    shop_lead = "What it earns, what is free, and what needs you.";
    revenue_day = "Revenue, 24 hours";
    revenue_week = "Revenue, 7 days";
    revenue_month = "Revenue, 30 days";
    customers = "Customers";
    needs_you = "Needs you";
    all_well = "Everything works: no exit is down, no rotation is stuck, every gateway is up to date.";
    exits_down = "Exits that do not work";
    stuck_rotations = "Stuck rotations";
    gateways_behind = "Gateways that are behind";
    stock = "Free slots";
    no_stock = "Nothing is for sale. Describe what you sell in a catalogue and run turnpike apply with it.";
    taken = "Taken";
    not_sold = "Not sold";
    exits = "Exits";
    no_exits = "There are no exits.";
    working = "Working";
    down = "Down";
    untried = "Not tried";
    no_gateways = "No gateway has been started.";
    gateway = "Gateway";
    host = "Host";
    version = "Version";
    revision = "Revision applied";
    up_to_date = "Up to date";
    behind = "behind by";
    waiting = "Waiting for its gateway";
    running = "Under way";
    of = "of";
    accounts = "Accounts";
    find_hint = "E-mail address or id";
    role = "Role";
    any_role = "All roles";
    customer = "Customer";
    operator = "Operator";
    standing = "Standing";
    good_standing = "Active";
    suspended = "Suspended";
    no_accounts = "No account fits";
    no_accounts_lead = "No account fits this search.";
    made_at = "Made";
    id = "Id";
    move_money = "Credit or debit";
    move_money_lead = "It is booked in the ledger for good; a mistake is mended by the opposite booking.";
    give = "Credit: add to the balance";
    take = "Debit: take from the balance";
    reason_hint = "It stands in the customer's statement.";
    book = "Book it";
    booked_done = "Booked.";
    suspend = "Suspend";
    suspend_lead = "Its ports close, its API keys are refused and its browsers are signed out, within a second. Its time runs on.";
    suspended_done = "The account is suspended.";
    resume = "Resume";
    resume_lead = "Its ports open again and its API keys work again, within a second. Its owner signs in anew.";
    resumed_done = "The account works again.";
    trials = "Trials";
    may_give_trials = "May give trials";
    no_trials = "No trials";
    allow = "Allow";
    forbid = "Forbid";
    trial_permission_done = "Saved. It holds from the key's next request on.";
    no_keys = "This account has no API key.";
    no_subscriptions = "This account has no subscription that holds a port.";
    newest_subscriptions = "Newest subscriptions";
    orders = "Orders";
    one_order = "Order";
    no_orders = "Nothing has been ordered yet.";
    orders_of = "Orders of";
    all_orders = "All orders";
    price = "Price";
    unit_price = "Price of one";
    discount = "Taken off";
    periods = "Periods";
    how_many = "Subscriptions";
    refunded = "Refunded";
    gave = "What it gave";
    duration = "Time given";
    traffic = "Traffic";
    moved = "What it moved";
    give_back = "Refund";
    give_back_lead = "The whole price goes back to the balance, once. What the order gave is taken back: the time that is still to come, at once. To let the customer keep it, or to give back a part, credit the account instead.";
    give_back_action = "Refund and take back";
    refunded_done = "Refunded, and what the order gave is taken back.";
    view_ended_done = "These are your own pages again.";
    plan_saved_done = "The plan is saved. Running subscriptions keep what they have bought.";
    plan_retired_done = "The plan is not sold any more. What was bought with it runs on.";
    coupon_saved_done = "The coupon is saved.";
    coupon_retired_done = "The coupon is ended.";
    catalogue_applied_done = "The catalogue is applied.";
    exit_draining_done = "The exit is not sold any more. Whoever has it keeps it.";
    exit_disabled_done = "The exit serves nobody now.";
    exit_open_done = "The exit is sold and served again.";
    no_bookings = "The balance has not changed yet.";
    notices = "Notices";
    notices_lead = "Choose what you are told, and how.";
    notices_off = "This shop sends no notices.";
    notice_choices = "What you are told";
    notice_what = "When";
    by_email = "E-mail";
    by_webhook = "Webhook";
    notice_ending = "A subscription ends in a few days";
    notice_ended = "A subscription has ended";
    notice_renewed = "A subscription was renewed";
    notice_renewal_failed = "A subscription could not renew itself";
    notice_low_balance = "The balance is low";
    notice_signed_in = "Somebody signs in";
    notice_rotated = "An exit has a new address";
    notice_test = "Test";
    low_balance_label = "The balance is low below";
    saved = "Saved.";
    webhook = "Webhook";
    webhooks = "Webhooks";
    webhooks_lead = "Programs of yours that we call. Each call is signed as Standard Webhooks says, so that you know it is from us.";
    webhook_url = "Address";
    webhook_create = "Add webhook";
    webhook_made = "The new webhook's secret";
    webhook_made_lead = "Copy it now: it is not shown again. Your program checks with it that a call is from us.";
    webhook_working = "Working";
    webhook_failing = "Failing since";
    webhook_given_up = "Given up";
    webhook_test = "Send a test";
    webhook_enable = "Switch on";
    webhook_delete = "Delete";
    webhook_deleted = "The webhook is deleted.";
    webhook_log = "Last calls";
    webhook_log_empty = "Nothing was sent yet.";
    webhook_answer = "What came of it";
    test_sent = "A test is on its way.";
    redeliver = "Send again";
    redelivered = "It is sent again.";
    delivery_waiting = "On its way";
    delivery_delivered = "Delivered";
    delivery_failed = "Failed";
    delivery_next = "next try";
}

/// What a refusal says on a page, where the sentence for programs names operations and fields that no page has.
pub(crate) fn on_a_page(refusal: &Refusal) -> Option<&'static str> {
    Some(match refusal {
        Refusal::UnknownPlan => "this plan is not sold; choose another one",
        Refusal::SubscriptionNotFound => "you have no such subscription",
        Refusal::UnknownNetwork | Refusal::NetworkInactive => "this network is not available; choose another one",
        Refusal::PlanInactive => "this plan is no longer sold; choose another one",
        Refusal::NotARenewalPlan => "this plan cannot renew this subscription; choose another one",
        Refusal::LinkNotFound => "this link is no longer there",
        Refusal::IdempotencyMismatch => "this form was sent before with something else in it; load the page anew",
        Refusal::IdempotencyInFlight => "this is being done already; look again in a moment",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use turnpike_shop::types::Cents;

    use super::*;

    #[test]
    fn pages_speak_of_pages() {
        let fields = ["op=", "Id", "targetNetwork", "Idempotency"];
        for refusal in [
            Refusal::UnknownPlan,
            Refusal::SubscriptionNotFound,
            Refusal::UnknownNetwork,
            Refusal::NetworkInactive,
            Refusal::PlanInactive,
            Refusal::NotARenewalPlan,
            Refusal::LinkNotFound,
            Refusal::IdempotencyMismatch,
            Refusal::IdempotencyInFlight,
        ] {
            let said = on_a_page(&refusal).unwrap_or_default();
            assert!(
                !said.is_empty() && !fields.iter().any(|word| said.contains(word)),
                "{said}"
            );
        }
        assert_eq!(on_a_page(&Refusal::BeyondMoney(Cents(1))), None);
    }
}
