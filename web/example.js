import { Call } from "./client/call.js";

const call = new Call();
const said = document.createElement("p");
call.on("transcript", ({ role, text }) => (said.textContent = `${role}: ${text}`));
call.on("status", ({ problem }) => problem && (said.textContent = problem.message || problem.code));
document.getElementById("talk")?.addEventListener("click", () => call.start());
document.getElementById("end")?.addEventListener("click", () => call.hangUp());
document.body.append(said);
