import { Call } from "./client/call.js";

const call = new Call();
const said = document.querySelector("#said");
call.on("transcript", ({ role, text }) => (said.textContent = `${role}: ${text}`));
call.on("status", ({ problem }) => problem && (said.textContent = problem.message || problem.code));
document.querySelector("#talk").onclick = () => call.start();
document.querySelector("#end").onclick = () => call.hangUp();
