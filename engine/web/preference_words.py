"""What the preference centre says, in the languages it speaks; everything else is the workspace's.

A language is one column of this table. Which words somebody read is kept with what they chose:
`version` changes whenever one of them does.
"""

import hashlib
from collections.abc import Mapping
from typing import Final

from msgspec import Struct, structs

FALLBACK: Final = "en"


class Words(Struct, frozen=True):
    """One language. `question` stands above the choices, `receipts` below them."""

    title: str
    question: str
    receipts: str
    save: str
    stop: str
    saved: str
    stopped: str
    stale: str
    nothing: str
    confirm_title: str
    confirm_question: str
    confirm: str
    confirmed_title: str
    confirmed: str
    expired_title: str
    expired: str
    email: str
    sms: str
    push: str


WORDS: Final[Mapping[str, Words]] = {
    "en": Words(
        title="What we may send you",
        question="Choose what you want to get from us, and how. It takes effect at once.",
        receipts="Messages about your own orders and your account still reach you.",
        save="Save",
        stop="Stop everything",
        saved="Saved. This is what you get from now on.",
        stopped="Saved. You get no more marketing from us.",
        stale="This message went to an address that is not yours with us any more. "
        "Here you can only stop what comes.",
        nothing="There is nothing to choose: we send you no marketing.",
        confirm_title="Please confirm",
        confirm_question="Yes, I want to get “{topic}” ({channel}).",
        confirm="Confirm",
        confirmed_title="Thank you",
        confirmed="You get “{topic}” ({channel}) from now on. You can close this page.",
        expired_title="This link has expired",
        expired="Please sign up once more, and we will send you a new link.",
        email="e-mail",
        sms="text message",
        push="notification",
    ),
    "de": Words(
        title="Was wir Ihnen senden dürfen",
        question="Wählen Sie, was Sie von uns bekommen möchten und auf welchem Weg. "
        "Es gilt sofort.",
        receipts="Nachrichten zu Ihren Bestellungen und Ihrem Konto erhalten Sie weiterhin.",
        save="Speichern",
        stop="Alles abbestellen",
        saved="Gespeichert. Das erhalten Sie von jetzt an.",
        stopped="Gespeichert. Sie erhalten keine Werbung mehr von uns.",
        stale="Diese Nachricht ging an eine Adresse, die bei uns nicht mehr Ihre ist. "
        "Hier können Sie nur abbestellen.",
        nothing="Es gibt nichts zu wählen: Wir senden Ihnen keine Werbung.",
        confirm_title="Bitte bestätigen",
        confirm_question="Ja, ich möchte „{topic}“ erhalten ({channel}).",
        confirm="Bestätigen",
        confirmed_title="Vielen Dank",
        confirmed="Sie erhalten von jetzt an „{topic}“ ({channel}). Sie können diese Seite "
        "schließen.",
        expired_title="Dieser Link ist abgelaufen",
        expired="Bitte melden Sie sich noch einmal an, dann senden wir Ihnen einen neuen Link.",
        email="E-Mail",
        sms="SMS",
        push="Mitteilung",
    ),
    "fr": Words(
        title="Ce que nous pouvons vous envoyer",
        question="Choisissez ce que vous souhaitez recevoir et par quel moyen. "
        "Votre choix prend effet immédiatement.",
        receipts="Vous recevrez toujours les messages relatifs à vos commandes et à votre compte.",
        save="Enregistrer",
        stop="Tout arrêter",
        saved="Enregistré. Voici ce que vous recevrez désormais.",
        stopped="Enregistré. Vous ne recevrez plus de publicité de notre part.",
        stale="Ce message a été envoyé à une adresse qui n’est plus la vôtre chez nous. "
        "Ici, vous pouvez seulement vous désabonner.",
        nothing="Il n’y a rien à choisir : nous ne vous envoyons pas de publicité.",
        confirm_title="Veuillez confirmer",
        confirm_question="Oui, je souhaite recevoir « {topic} » ({channel}).",
        confirm="Confirmer",
        confirmed_title="Merci",
        confirmed="Vous recevrez désormais « {topic} » ({channel}). Vous pouvez fermer cette page.",
        expired_title="Ce lien a expiré",
        expired="Veuillez vous inscrire à nouveau : nous vous enverrons un nouveau lien.",
        email="e-mail",
        sms="SMS",
        push="notification",
    ),
    "es": Words(
        title="Qué podemos enviarle",
        question="Elija qué desea recibir de nosotros y por qué medio. Se aplica de inmediato.",
        receipts="Seguirá recibiendo los mensajes sobre sus pedidos y su cuenta.",
        save="Guardar",
        stop="Cancelar todo",
        saved="Guardado. Esto es lo que recibirá a partir de ahora.",
        stopped="Guardado. No recibirá más publicidad nuestra.",
        stale="Este mensaje se envió a una dirección que ya no es la suya con nosotros. "
        "Aquí solo puede cancelar envíos.",
        nothing="No hay nada que elegir: no le enviamos publicidad.",
        confirm_title="Confirme, por favor",
        confirm_question="Sí, quiero recibir «{topic}» ({channel}).",
        confirm="Confirmar",
        confirmed_title="Gracias",
        confirmed="A partir de ahora recibirá «{topic}» ({channel}). Puede cerrar esta página.",
        expired_title="Este enlace ha caducado",
        expired="Suscríbase de nuevo y le enviaremos un enlace nuevo.",
        email="correo electrónico",
        sms="SMS",
        push="notificación",
    ),
    "nl": Words(
        title="Wat wij u mogen sturen",
        question="Kies wat u van ons wilt ontvangen en hoe. Het geldt meteen.",
        receipts="Berichten over uw bestellingen en uw account blijft u ontvangen.",
        save="Opslaan",
        stop="Alles stoppen",
        saved="Opgeslagen. Dit ontvangt u vanaf nu.",
        stopped="Opgeslagen. U ontvangt geen reclame meer van ons.",
        stale="Dit bericht ging naar een adres dat bij ons niet meer van u is. "
        "Hier kunt u alleen afmelden.",
        nothing="Er valt niets te kiezen: wij sturen u geen reclame.",
        confirm_title="Bevestig alstublieft",
        confirm_question="Ja, ik wil “{topic}” ontvangen ({channel}).",
        confirm="Bevestigen",
        confirmed_title="Dank u wel",
        confirmed="U ontvangt vanaf nu “{topic}” ({channel}). U kunt deze pagina sluiten.",
        expired_title="Deze link is verlopen",
        expired="Meld u nog eens aan, dan sturen wij u een nieuwe link.",
        email="e-mail",
        sms="sms",
        push="melding",
    ),
    "it": Words(
        title="Che cosa possiamo inviarle",
        question="Scelga che cosa desidera ricevere da noi e come. Vale da subito.",
        receipts="Continuerà a ricevere i messaggi sui suoi ordini e sul suo account.",
        save="Salva",
        stop="Interrompi tutto",
        saved="Salvato. Ecco che cosa riceverà d’ora in poi.",
        stopped="Salvato. Non riceverà più pubblicità da noi.",
        stale="Questo messaggio è stato inviato a un indirizzo che non è più il suo presso di noi. "
        "Qui può solo disiscriversi.",
        nothing="Non c’è nulla da scegliere: non le inviamo pubblicità.",
        confirm_title="Confermi, per favore",
        confirm_question="Sì, desidero ricevere «{topic}» ({channel}).",
        confirm="Conferma",
        confirmed_title="Grazie",
        confirmed="D’ora in poi riceverà «{topic}» ({channel}). Può chiudere questa pagina.",
        expired_title="Questo link è scaduto",
        expired="Si iscriva di nuovo e le invieremo un nuovo link.",
        email="e-mail",
        sms="SMS",
        push="notifica",
    ),
}


def language_of(locale: str) -> str:
    """The language in which we speak to somebody.

    >>> language_of("de-AT"), language_of("pt_BR"), language_of("")
    ('de', 'en', 'en')
    """
    found = locale.replace("_", "-").split("-")[0].lower()
    return found if found in WORDS else FALLBACK


def version(language: str) -> str:
    """Which words a language has now, for the ledger: `de:3f2a9c1b`."""
    written = "\0".join(str(it) for it in structs.astuple(WORDS[language]))
    return f"{language}:{hashlib.sha256(written.encode()).hexdigest()[:8]}"
