// Scanning, ages and the offline banner. The page works without it: forms and links are plain.
const DOUBLE_SCAN_MS = 300;
const SCAN_MODE = "oneshelf-scan-mode";

const form = document.getElementById("find");
const field = document.getElementById("q");
const say = document.getElementById("say");
const banner = document.getElementById("offline");
const texts = JSON.parse(document.body.dataset.ages);
// The device's clock may be wrong: ages follow the server's.
let ahead = Number(document.body.dataset.serverNow) - Date.now() / 1000;
let offline = false;

function ageText(since) {
  const seconds = Math.max(0, Math.floor(Date.now() / 1000 + ahead - since));
  const [size, text] =
    seconds >= 86400 ? [86400, texts.days] : seconds >= 3600 ? [3600, texts.hours]
    : seconds >= 60 ? [60, texts.minutes] : [1, texts.seconds];
  return seconds === 0 ? texts.now : text.replace("%(n)s", Math.floor(seconds / size));
}

function showAges() {
  for (const element of document.querySelectorAll("[data-age]")) {
    element.textContent = ageText(Number(element.dataset.age));
  }
  if (offline) showOffline();
}

function showOffline() {
  const since = document.querySelector("[data-as-of]")?.dataset.asOf;
  const time = since && new Date(Number(since) * 1000).toLocaleTimeString(document.documentElement.lang, { hour12: false });
  banner.textContent = since
    ? banner.dataset.withAge.replace("{time}", time).replace("{age}", ageText(Number(since)))
    : banner.dataset.plain;
  banner.hidden = false;
}

function setOffline(now) {
  offline = now;
  if (now) showOffline();
  else banner.hidden = true;
}

function announce(root) {
  const text = (root.matches?.("[data-say]") ? root : root.querySelector("[data-say]"))?.dataset.say;
  if (say && text && say.textContent !== text) say.textContent = text;
}

function readyForNextScan() {
  if (!field) return;
  field.focus({ preventScroll: true });
  field.select();
}

function guardScans() {
  let last = { value: "", at: -Infinity };
  form.addEventListener("submit", (event) => {
    const value = field.value.trim();
    const now = performance.now();
    const again = value === last.value && now - last.at < DOUBLE_SCAN_MS;
    if (!value || again) {
      event.preventDefault();
      event.stopImmediatePropagation();
      readyForNextScan();
      return;
    }
    last = { value, at: now };
    // Selected at once: the next scan replaces this code even before its answer is here.
    field.select();
  }, { capture: true });
}

function offerScanMode() {
  const toggle = document.getElementById("scan-mode");
  const apply = (on) => {
    toggle.setAttribute("aria-pressed", String(on));
    field.inputMode = on ? "none" : "search";
  };
  toggle.hidden = false;
  apply(localStorage.getItem(SCAN_MODE) === "1");
  toggle.addEventListener("click", () => {
    const on = toggle.getAttribute("aria-pressed") !== "true";
    localStorage.setItem(SCAN_MODE, on ? "1" : "0");
    field.blur(); // closes or opens the on-screen keyboard with the new mode
    apply(on);
    readyForNextScan();
  });
}

function isPoll(event) {
  return event.target?.id === "card";
}

document.addEventListener("htmx:config:request", (event) => {
  if (isPoll(event) && document.hidden) event.preventDefault();
});
document.addEventListener("htmx:error", () => setOffline(true));
document.addEventListener("htmx:after:request", (event) => {
  setOffline((event.detail?.ctx?.response?.status ?? 0) >= 500);
});
document.addEventListener("htmx:after:swap", (event) => {
  const result = document.getElementById("result");
  const card = result?.querySelector(".card");
  if (card) ahead = Number(card.dataset.now) - Date.now() / 1000;
  const told = say?.textContent;
  if (result) announce(result);
  if (isPoll(event)) {
    if (card && say.textContent !== told) {
      card.classList.add("changed");
      setTimeout(() => card.classList.remove("changed"), 1700);
    }
  } else {
    readyForNextScan();
    navigator.vibrate?.(card ? 30 : [60, 60, 60]);
  }
  showAges();
});
window.addEventListener("offline", () => setOffline(true));

if (form) {
  guardScans();
  offerScanMode();
  if (field.value) field.select();
  const result = document.getElementById("result");
  if (result) announce(result);
}
setInterval(showAges, 1000);
