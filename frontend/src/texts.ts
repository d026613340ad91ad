import { asProblem } from "./api";
import type { Failure } from "./types";

const seconds = (ms: number) => (ms / 1000).toLocaleString(locale, { maximumFractionDigits: ms < 1000 ? 2 : 1 });

// What the tiny demo model knows something of, and only in English.
const demoExamples = ["Who are you?", "What is the capital of France?", "Explain what a queue is", "My name is Ada. What is 7 + 8?"];

const en = {
  you: "You", bot: "Parley", message: "Message", placeholder: "Ask anything",
  keys: "Enter sends, Shift + Enter breaks the line",
  send: "Send", stop: "Stop", close: "Close", code: "Code", image: "image",
  copied: "Copied", copyCode: "Copy code", copyReply: "Copy reply", copyMessage: "Copy message",
  sending: "Sending …",
  waiting: (before: number) => (before > 0 ? `Waiting, number ${before + 1} in line` : "Waiting"),
  held: { network: "Waits for a connection", login: "Waits for you to sign in" },
  cancelWaiting: "Cancel", notSent: "Not sent.",
  retry: "Try again", edit: "Edit", regenerate: "Answer again", stopping: "Stopping …", stopped: "Stopped before the end.",
  begunAgain: "The reply was interrupted and has begun again.",
  failed: (failure?: Failure) => failures[failure?.code ?? ""] ?? failure?.detail ?? "There is no reply.",
  thread: "Conversation", jump: "Jump to latest", earlier: "Show earlier messages",
  replying: "Parley is replying",
  ended: { completed: "The reply is complete", stopped: "The reply was stopped", failed: "The reply has failed" },
  footnotes: "Footnotes", back: "Back to the text",
  timing: "Timing",
  timingLine: (waited?: number, first?: number, rate?: number) =>
    [
      waited === undefined ? "" : `Waited ${seconds(waited)} s`,
      first === undefined ? "" : `first text after ${seconds(first)} s`,
      rate === undefined ? "" : `about ${Math.round(rate)} tokens/s`,
    ].filter(Boolean).join(" · "),
  left: (count: number) => `${count} left`,
  tooLong: (count: number) => `${count} too many`, over: "The message is too long", fewer: (count: number) => `Fewer than ${count} characters are left`,

  newChat: "New chat", hello: "What is on your mind?", tagline: "Ask something, or begin with one of these.",
  examples: ["Explain how a queue works", "Write a haiku about rain", "Plan a weekend in Lisbon", "Sort a list in Python"],
  demoExamples,
  demo: "A tiny demo model is answering.", demoHint: "Set MODEL_URL to connect a real one.",
  goneNow: "This conversation has ended.",
  gone: "This conversation is not to be found.",
  goneGuest: "It may have been deleted, belong to an account, or have been a guest’s, which is kept for an hour after its last use.",
  goOn: "Start a new chat",

  link: { connecting: "Connecting …", open: "Connected", broken: "Reconnecting …", offline: "Offline", signedOut: "Signed out" },

  menu: "Menu", openMenu: "Open menu", hideMenu: "Hide sidebar", search: "Search", skip: "Skip to the message box", noResults: "Nothing found.",
  noChats: "Your conversations will appear here.", guestNote: "Guest conversations are kept for an hour after their last use.",
  conversations: "Conversations", more: "Show more", searchOn: "Search older ones", untitled: "New conversation",
  days: { today: "Today", yesterday: "Yesterday", week: "Last 7 days", older: "Older" },
  actions: (title: string) => `Actions for ${title}`,
  rename: "Rename", title: "Title", remove: "Delete", exportMarkdown: "Export as Markdown", exportJson: "Export as JSON",
  removed: "Conversation deleted.", undo: "Undo",
  theme: { system: "System theme", light: "Light theme", dark: "Dark theme" },

  guest: "Guest", signIn: "Sign in", signUp: "Sign up", signOut: "Sign out", account: "Account", settings: "Account settings",
  name: "Name", password: "Password", newPassword: "New password",
  nameHint: "1 to 40 letters, digits, dots, dashes or underscores.", passwordHint: "At least 8 characters.",
  signInTitle: "Welcome back", signUpTitle: "Create an account", signUpText: "Your conversations stay until you delete them. The ones you have now come along.",
  toSignUp: "No account yet?", toSignIn: "Have an account already?",
  againTitle: "Please sign in again", againText: "Your session has ended. What you have written is still here.",
  other: "Use without this account", otherText: "What you have written here and not sent is deleted.", otherSure: "Delete it and go on",
  signOutAll: "Sign out everywhere", signOutAllText: "Ends every session of this account, this one too.",
  changePassword: "Change password", changePasswordText: "All other sessions end.", passwordChanged: "The password is changed.",
  deleteAccount: "Delete account", deleteAccountText: "The account and all its conversations are gone for good.",
  signedOutNote: "You are signed out.",
  problems: {
    name_taken: "This name is taken.", login_failed: "Name or password is wrong.", password_wrong: "The password is wrong.",
    registration_closed: "New accounts are not open here.",
    rate_limited: "Too many attempts. Please wait a moment.", unreachable: "The server does not answer.", invalid: "Please check what you entered.",
    queue_full: "Too many messages wait already.", conversation_gone: "This conversation is not to be found.",
    message_unknown: "This message is not to be found.", not_last_turn: "The conversation has gone on meanwhile.",
    too_large: "The message is too long.", store_unavailable: "The server cannot reach its memory at the moment.",
    login_required: "You are signed out.", internal: "Something went wrong.",
  } as Record<string, string>,
  broken: "Something went wrong on this page.", brokenText: "What you have written is stored.", reload: "Reload",
};

const fr: typeof en = {
  you: "Vous", bot: "Parley", message: "Message", placeholder: "Posez une question",
  keys: "Entrée envoie, Maj + Entrée va à la ligne",
  send: "Envoyer", stop: "Arrêter", close: "Fermer", code: "Code", image: "image",
  copied: "Copié", copyCode: "Copier le code", copyReply: "Copier la réponse", copyMessage: "Copier le message",
  sending: "Envoi …",
  waiting: (before) => (before > 0 ? `En attente, numéro ${before + 1}` : "En attente"),
  held: { network: "Attend une connexion", login: "Attend votre connexion" },
  cancelWaiting: "Annuler", notSent: "Non envoyé.",
  retry: "Réessayer", edit: "Modifier", regenerate: "Répondre à nouveau", stopping: "Arrêt …", stopped: "Arrêtée avant la fin.",
  begunAgain: "La réponse a été interrompue et a recommencé.",
  failed: (failure) => echecs[failure?.code ?? ""] ?? failure?.detail ?? "Il n’y a pas de réponse.",
  thread: "Conversation", jump: "Aller à la fin", earlier: "Afficher les messages précédents",
  replying: "Parley répond",
  ended: { completed: "La réponse est complète", stopped: "La réponse a été arrêtée", failed: "La réponse a échoué" },
  footnotes: "Notes", back: "Retour au texte",
  timing: "Durées",
  timingLine: (waited, first, rate) =>
    [
      waited === undefined ? "" : `Attente ${seconds(waited)} s`,
      first === undefined ? "" : `premier texte après ${seconds(first)} s`,
      rate === undefined ? "" : `environ ${Math.round(rate)} jetons/s`,
    ].filter(Boolean).join(" · "),
  left: (count) => `encore ${count}`,
  tooLong: (count) => `${count} de trop`, over: "Le message est trop long", fewer: (count) => `Il reste moins de ${count} caractères`,

  newChat: "Nouvelle discussion", hello: "De quoi voulez-vous parler ?", tagline: "Posez une question, ou commencez par l’une de celles-ci.",
  examples: ["Comment marche une file d’attente ?", "Un haïku sur la pluie", "Un week-end à Lisbonne", "Trier une liste en Python"],
  demoExamples,
  demo: "Un tout petit modèle de démonstration répond.", demoHint: "MODEL_URL en relie un vrai.",
  goneNow: "Cette conversation est terminée.",
  gone: "Cette conversation est introuvable.",
  goneGuest: "Elle a pu être supprimée, appartenir à un compte, ou être celle d’un invité, gardée une heure après son dernier usage.",
  goOn: "Nouvelle discussion",

  link: { connecting: "Connexion …", open: "Connecté", broken: "Reconnexion …", offline: "Hors ligne", signedOut: "Déconnecté" },

  menu: "Menu", openMenu: "Ouvrir le menu", hideMenu: "Masquer le menu", search: "Rechercher", skip: "Aller au champ de saisie", noResults: "Aucun résultat.",
  noChats: "Vos conversations apparaîtront ici.", guestNote: "Les conversations d’invité sont gardées une heure après leur dernier usage.",
  conversations: "Conversations", more: "Afficher plus", searchOn: "Chercher plus loin", untitled: "Nouvelle conversation",
  days: { today: "Aujourd’hui", yesterday: "Hier", week: "7 derniers jours", older: "Plus ancien" },
  actions: (title) => `Actions pour ${title}`,
  rename: "Renommer", title: "Titre", remove: "Supprimer", exportMarkdown: "Exporter en Markdown", exportJson: "Exporter en JSON",
  removed: "Conversation supprimée.", undo: "Annuler",
  theme: { system: "Thème du système", light: "Thème clair", dark: "Thème sombre" },

  guest: "Invité", signIn: "Se connecter", signUp: "Créer un compte", signOut: "Se déconnecter", account: "Compte", settings: "Réglages du compte",
  name: "Nom", password: "Mot de passe", newPassword: "Nouveau mot de passe",
  nameHint: "1 à 40 lettres, chiffres, points, tirets ou soulignés.", passwordHint: "Au moins 8 caractères.",
  signInTitle: "Bon retour", signUpTitle: "Créer un compte", signUpText: "Vos conversations restent jusqu’à ce que vous les supprimiez. Celles d’aujourd’hui vous suivent.",
  toSignUp: "Pas encore de compte ?", toSignIn: "Déjà un compte ?",
  againTitle: "Veuillez vous reconnecter", againText: "Votre session est terminée. Ce que vous avez écrit est encore là.",
  other: "Continuer sans ce compte", otherText: "Ce que vous avez écrit ici sans l’envoyer est supprimé.", otherSure: "Supprimer et continuer",
  signOutAll: "Se déconnecter partout", signOutAllText: "Met fin à toutes les sessions de ce compte, celle-ci comprise.",
  changePassword: "Changer le mot de passe", changePasswordText: "Toutes les autres sessions prennent fin.", passwordChanged: "Le mot de passe est changé.",
  deleteAccount: "Supprimer le compte", deleteAccountText: "Le compte et toutes ses conversations disparaissent pour de bon.",
  signedOutNote: "Vous êtes déconnecté.",
  problems: {
    name_taken: "Ce nom est déjà pris.", login_failed: "Nom ou mot de passe incorrect.", password_wrong: "Le mot de passe est incorrect.",
    registration_closed: "Aucun nouveau compte n’est accepté ici.",
    rate_limited: "Trop de tentatives. Veuillez patienter un moment.", unreachable: "Le serveur ne répond pas.", invalid: "Veuillez vérifier votre saisie.",
    queue_full: "Trop de messages attendent déjà.", conversation_gone: "Cette conversation est introuvable.",
    message_unknown: "Ce message est introuvable.", not_last_turn: "La conversation a continué entre-temps.",
    too_large: "Le message est trop long.", store_unavailable: "Le serveur n’accède pas à sa mémoire pour le moment.",
    login_required: "Vous êtes déconnecté.", internal: "Une erreur s’est produite.",
  },
  broken: "Une erreur s’est produite sur cette page.", brokenText: "Ce que vous avez écrit est conservé.", reload: "Recharger",
};

const failures: Record<string, string> = {
  model_unavailable: "The model does not answer at the moment.", model_broke: "The model broke off.",
  model_timeout: "The model took too long.", model_refused: "The model refused this message.",
  model_garbage: "The model’s answer could not be read.", attempts_exhausted: "The reply failed several times.",
  empty_reply: "The model had nothing to say.",
};
const echecs: Record<string, string> = {
  model_unavailable: "Le modèle ne répond pas pour le moment.", model_broke: "Le modèle s’est interrompu.",
  model_timeout: "Le modèle a mis trop de temps.", model_refused: "Le modèle a refusé ce message.",
  model_garbage: "La réponse du modèle est illisible.", attempts_exhausted: "La réponse a échoué plusieurs fois.",
  empty_reply: "Le modèle n’avait rien à dire.",
};

const languages = { en, fr };

/** The first of the browser's languages that we have, with its country, and without. */
const locale = navigator.languages.find((tag) => tag.slice(0, 2) in languages) ?? "en";
export const language = locale.slice(0, 2) as keyof typeof languages;

/** Every text of the page. */
export const t = languages[language];

/** What went wrong, in words of this page's language where it has some. */
export function say(error: unknown): string {
  const { code, message } = asProblem(error);
  return t.problems[code] ?? message;
}

const sameDay = (a: Date, b: Date) => a.toDateString() === b.toDateString();

export function clock(at: string): string {
  const date = new Date(at);
  const day: Intl.DateTimeFormatOptions = sameDay(date, new Date()) ? {} : { day: "numeric", month: "short" };
  return date.toLocaleString(locale, { ...day, hour: "2-digit", minute: "2-digit" });
}

export const moment = (at: string): string =>
  new Date(at).toLocaleString(locale, { dateStyle: "full", timeStyle: "medium" });
