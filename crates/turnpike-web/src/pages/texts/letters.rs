//! The words of notices by e-mail. Short, and each says what happened and what can be done.
//!
//! `{which}` is a subscription, `{page}` its page; the other places are named by what stands there.

texts! {
    LetterTexts, LETTERS:
    which = "{port} ({network})";
    which_noted = "{port} ({network}, \"{note}\")";
    ending_subject = "{which} ends soon";
    ending = "{which} ends on {end}. Renew it here, or let it renew itself:\n\n{page}";
    ended_subject = "{which} has ended";
    ended = "{which} has ended. Its port is kept for a while: renew it here, and it works again.\n\n{page}";
    renewed_subject = "{which} is renewed";
    renewed = "{which} was renewed for {price} and runs until {end}.\n\n{page}";
    renewed_by_itself = "{which} was renewed by itself for {price} and runs until {end}.\n\n{page}";
    renewal_failed_subject = "{which} could not renew itself";
    renewal_failed = "{which} ends on {end} and could not renew itself: {reason}.\n\nIt is tried again until then. Its page:\n\n{page}";
    low_balance_subject = "Your balance is low";
    low_balance = "Your balance is {balance}, less than {limit}.\n\n{shop}/statement";
    signed_in_subject = "Somebody signed in to your account";
    signed_in = "From {source}, with {agent}.\n\nIf that was not you, change your password at once; it signs all others out:\n\n{shop}/account";
    unknown_browser = "an unknown browser";
    rotated_subject = "{which} has another address";
    rotated = "{which} leaves by {address} now; before, it was {previous}.\n\n{page}";
    unknown_address = "an address that is not known";
    signature = "You chose to be told this: {shop}/notices";
    // As strftime writes it.
    moment = "%Y-%m-%d %H:%M UTC";
}
