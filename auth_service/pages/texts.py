"""What the pages say, in each language. Pure."""

LANGUAGES = {"en": "English", "ru": "Русский"}

# English, Russian. In braces stands what the page fills in; {name} is ISSUER_NAME.
_BOTH = {
    "no_script": (
        "This page needs JavaScript. Allow it here, or open the link in another browser.",
        "Для этой страницы нужен JavaScript. Разрешите его здесь или откройте ссылку в другом браузере.",
    ),
    "language": ("Language", "Язык"),
    # --- the bare address
    "home_title": ("Sign-in service of {name}", "Служба входа {name}"),
    "home_words": (
        "Accounts and sign-in work behind this address. You sign in on the pages of {name} itself.",
        "По этому адресу работают учётные записи и вход. Сам вход — на страницах {name}.",
    ),
    "home_account": ("Your account", "Ваша учётная запись"),
    "home_docs": ("Interactive documentation", "Интерактивная документация"),
    "home_reference": ("API reference", "Справочник по API"),
    "home_document": ("OpenAPI document", "Документ OpenAPI"),
    "home_ready": ("Is it ready?", "Готова ли служба?"),
    "home_mails": ("Mails that were not sent", "Неотправленные письма"),
    # --- a link that confirms
    "confirm_title": ("Confirm your e-mail address", "Подтвердите адрес почты"),
    "confirm_words": (
        "You opened a link from our mail. Press the button to confirm what the mail asks for.",
        "Вы открыли ссылку из нашего письма. Нажмите кнопку, чтобы подтвердить то, о чём просит письмо.",
    ),
    "confirm_button": ("Confirm", "Подтвердить"),
    "confirmed": ("The address {email} is confirmed.", "Адрес {email} подтверждён."),
    "close": ("You can close this page.", "Эту страницу можно закрыть."),
    "waiting": (
        "Confirmed. One more step: we sent a mail to the other address too. Open the link in it, and your account "
        "changes to {email}.",
        "Подтверждено. Остался один шаг: на другой адрес тоже отправлено письмо. Откройте ссылку в нём, и адресом "
        "вашей учётной записи станет {email}.",
    ),
    "confirm_used": (
        "This link no longer works: it was used already, has run out, or was replaced by a newer mail. If you have "
        "confirmed already, there is nothing left to do. Otherwise sign in and ask for a new mail.",
        "Эта ссылка больше не действует: её уже использовали, она устарела или её заменило более новое письмо. Если вы "
        "уже всё подтвердили, делать больше ничего не нужно. Если нет, войдите и запросите новое письмо.",
    ),
    "taken": (
        "Another account has taken this address meanwhile. Nothing has changed. Sign in and choose another address.",
        "Этот адрес тем временем заняла другая учётная запись. Ничего не изменилось. Войдите и выберите другой адрес.",
    ),
    # --- asking for such a link
    "forgot_title": ("A new password", "Новый пароль"),
    "forgot_words": (
        "Write the e-mail address of your account, and we send a link to it with which you set a new password.",
        "Напишите адрес почты вашей учётной записи, и мы пришлём на него ссылку, по которой задают новый пароль.",
    ),
    "email": ("E-mail address", "Адрес почты"),
    "forgot_button": ("Send the link", "Прислать ссылку"),
    "sent": (
        "If an account has this address, a mail is on its way. The link in it works for {minutes} minutes.",
        "Если у какой-то учётной записи такой адрес, письмо уже в пути. Ссылка в нём действует {minutes} минут.",
    ),
    "no_address": ("This is not an e-mail address.", "Это не адрес почты."),
    # --- a link to a new password
    "reset_title": ("Set a new password", "Задайте новый пароль"),
    "reset_rules": (
        "At least {min} characters. Not one that is guessed first, such as password1, and not made of your login, your "
        "address or the name {name}. A few words in a row are easy to remember and hard to guess.",
        "Не меньше {min} знаков. Не из тех, что подбирают первыми, как password1, и не из вашего логина, адреса или "
        "слова {name}. Несколько слов подряд легко запомнить и трудно подобрать.",
    ),
    "password": ("New password", "Новый пароль"),
    "again": ("The same password again", "Тот же пароль ещё раз"),
    "show_passwords": ("Show what I type", "Показывать, что я ввожу"),
    "reset_button": ("Set the password", "Задать пароль"),
    "reset_done": ("Your new password is set.", "Новый пароль задан."),
    "reset_next": (
        "You were signed out on all devices. Sign in with the new password; if two-step login is on, you need a code "
        "as before.",
        "На всех устройствах выполнен выход. Войдите с новым паролем; если включён вход в два шага, код нужен, "
        "как и прежде.",
    ),
    "reset_used": (
        "This link no longer works: it was used already, has run out, or was replaced by a newer mail.",
        "Эта ссылка больше не действует: её уже использовали, она устарела или её заменило более новое письмо.",
    ),
    "ask_again": ("Ask for a new link", "Запросить новую ссылку"),
    "short": ("The password needs at least {min} characters.", "В пароле должно быть не меньше {min} знаков."),
    "long": ("The password may have at most {max} characters.", "В пароле может быть не больше {max} знаков."),
    "different": ("The two passwords are not the same.", "Пароли не совпадают."),
    "weak": (
        "This password is too easy to guess: it is one of those that are tried first, or little of it is left besides "
        "your login, your address and the name {name}. Take another one.",
        "Этот пароль слишком легко подобрать: он из тех, что пробуют первыми, или в нём мало что остаётся, кроме "
        "вашего логина, адреса и слова {name}. Выберите другой.",
    ),
    # --- all of them
    "missing": (
        "The link is not whole. Open it in the mail once more, or copy all of it into the address bar.",
        "Ссылка неполная. Откройте её из письма ещё раз или скопируйте в адресную строку целиком.",
    ),
    "busy": (
        "Too many tries at once. Wait {seconds} seconds and press the button again.",
        "Слишком много попыток сразу. Подождите {seconds} с и нажмите кнопку ещё раз.",
    ),
    "down": (
        "The service cannot be reached at the moment. Press the button again in a minute.",
        "Служба сейчас недоступна. Нажмите кнопку ещё раз через минуту.",
    ),
    "broken": (
        "Something went wrong. Try again; if it stays so, tell our support this number: {request_id}",
        "Что-то пошло не так. Попробуйте ещё раз; если не поможет, сообщите поддержке этот номер: {request_id}",
    ),
}
TEXTS = {key: dict(zip(LANGUAGES, both, strict=True)) for key, both in _BOTH.items()}
