// The types of marked.js: those of the same version in node_modules.
export * from "marked";
