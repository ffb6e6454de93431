/**
 * Markdown of the agent as elements, safely and at bounded cost.
 *
 * The text comes from a model, and a model repeats what strangers wrote.  So only the lexer of
 * `marked` is used; the elements are made here, one kind of token at a time, and nothing is ever
 * parsed as HTML.  No element loads anything: a picture becomes a link.
 *
 * @module markdown
 */

import { Lexer } from "../vendor/marked/marked.js";
import { copyButton } from "./copy_button.js";
import { WORDS } from "./strings.js";

/** What is longer goes on as plain text. */
const MARKDOWN_CHARACTERS = 64 * 1024;
/** Elements and texts that one answer is made of; what comes after is plain text. */
const NODES = 4_000;
/** Lists in quotations in lists … and emphasis in links in emphasis …: deeper is plain text. */
const DEPTH = 12;
/**
 * The lexer's time is quadratic in what could begin an emphasis, a link or a tag.  So many
 * characters, times so many beginnings in their passage, are read; then passages stay plain.
 * Ordinary prose of 64 Ki characters costs a tenth of it.
 */
const INLINE_WORK = 3_000_000;
/** Every list and quotation is read again inside: so many characters in all. */
const BLOCK_WORK = 6 * MARKDOWN_CHARACTERS;
const BEGINNINGS = /[*_~`[\]()!<>&\\@:|]/g;

const LINK_SCHEMES = new Set(["http:", "https:", "mailto:"]);
/** The answer's own headings stay below those of the page. */
const HEADING_SHIFT = 2;
const LANGUAGE_CHARACTERS = 24;
const ENTITY = /&(?:#(\d{1,7})|#[xX]([\da-fA-F]{1,6})|([a-zA-Z]{2,8}));/g;
/** The named references that models write; others stay as they are written. */
const ENTITIES = new Map(
  Object.entries({
    ...{ amp: "&", lt: "<", gt: ">", quot: '"', apos: "'", nbsp: "\u00a0", shy: "\u00ad" },
    ...{ copy: "©", reg: "®", trade: "™", deg: "°", micro: "µ", para: "¶", sect: "§" },
    ...{ hellip: "…", mdash: "—", ndash: "–", bull: "•", middot: "·", laquo: "«", raquo: "»" },
    ...{ lsquo: "‘", rsquo: "’", ldquo: "“", rdquo: "”", dagger: "†", prime: "′", Prime: "″" },
    ...{ times: "×", divide: "÷", plusmn: "±", minus: "−", frac12: "½", ne: "≠", le: "≤" },
    ...{ ge: "≥", asymp: "≈", infin: "∞", radic: "√", sum: "∑", pi: "π", euro: "€", pound: "£" },
    ...{ yen: "¥", cent: "¢", larr: "←", rarr: "→", uarr: "↑", darr: "↓", harr: "↔", check: "✓" },
  }),
);

/** @typedef {import("../vendor/marked/marked.js").MarkedToken} Token */
/** @typedef {import("../vendor/marked/marked.js").Tokens.List} ListToken */
/** @typedef {import("../vendor/marked/marked.js").Tokens.ListItem} ListItemToken */
/** @typedef {import("../vendor/marked/marked.js").Tokens.Table} TableToken */
/** @typedef {import("../vendor/marked/marked.js").Tokens.TableCell} TableCellToken */
/** @typedef {import("../vendor/marked/marked.js").Tokens.Code} CodeToken */
/** @typedef {import("../vendor/marked/marked.js").Tokens.Link} LinkToken */
/** @typedef {import("../vendor/marked/marked.js").Tokens.Image} ImageToken */
/** @typedef {{source: string, token: Token, node: Node, nodes: number}} Block */

/**
 * Shows a growing text in an element.  The blocks that a new text shares with the one before keep
 * their elements, and with them what the reader has selected.
 */
export class Markdown {
  #element;
  #links = "";
  /** @type {Block[]} */
  #blocks = [];

  /** @param {HTMLElement} element  empty, and nobody else's */
  constructor(element) {
    this.#element = element;
  }

  /** @param {string} text */
  show(text) {
    const { tokens, links } = read(text);
    // A definition at the end can make a link at the beginning.
    if (links !== this.#links) this.#keep(0);
    this.#links = links;
    let kept = 0;
    while (kept < this.#blocks.length && this.#blocks[kept]?.source === sourceOf(tokens[kept])) {
      kept += 1;
    }
    this.#keep(kept);
    let left = NODES;
    for (const block of this.#blocks) left -= block.nodes;
    for (let index = kept; index < tokens.length; index += 1) {
      const isSpent = left <= 0;
      const token = isSpent ? plain(tokens.slice(index)) : /** @type {Token} */ (tokens[index]);
      const builder = new Builder(left);
      const node = builder.block(token);
      left -= builder.nodes;
      this.#blocks.push({ source: sourceOf(token), token, node, nodes: builder.nodes });
      this.#element.append(node);
      if (isSpent) break;
    }
  }

  /** @param {number} count  of the first blocks */
  #keep(count) {
    for (const { node } of this.#blocks.splice(count)) this.#element.removeChild(node);
  }
}

/**
 * What a reader would read out: the text without its markup.
 *
 * @param {string} text
 * @returns {string}
 */
export function plainText(text) {
  const { tokens } = read(text);
  const blocks = tokens.map((token) => wordsOf(new Builder(NODES).block(token)).trim());
  return blocks.filter(Boolean).join("\n\n");
}

/** What stands apart on the page is apart when it is read aloud. */
const APART = new Map([
  ["TD", ", "],
  ["TH", ", "],
  ["TR", "\n"],
  ["LI", "\n"],
  ["P", "\n"],
  ["PRE", "\n"],
  ["FIGCAPTION", "\n"],
  ["DIV", "\n"],
]);

/**
 * @param {Node} node
 * @returns {string}
 */
function wordsOf(node) {
  if (node instanceof Text) return node.data;
  const words = [...node.childNodes].map(wordsOf).join("");
  const end = APART.get(node.nodeName);
  return end === undefined ? words : `${words.replace(/[,\s]+$/, "")}${end}`;
}

/** The lexer, with an end to how deep and how long it reads. */
class BoundedLexer extends Lexer {
  #depth = 0;
  #blockWork = 0;
  #inlineWork = 0;

  /**
   * @param {string} source
   * @param {any} [tokens]
   * @param {boolean} [lastParagraphClipped]
   * @returns {any}
   * @override
   */
  blockTokens(source, tokens = [], lastParagraphClipped = false) {
    this.#blockWork += source.length;
    if (this.#depth >= DEPTH || this.#blockWork > BLOCK_WORK) {
      tokens.push({ type: "paragraph", raw: source, text: source, tokens: [verbatim(source)] });
      return tokens;
    }
    return this.#deeper(() => super.blockTokens(source, tokens, lastParagraphClipped));
  }

  /**
   * @param {string} source
   * @param {any} [tokens]
   * @returns {any}
   * @override
   */
  inlineTokens(source, tokens = []) {
    const beginnings = source.match(BEGINNINGS)?.length ?? 0;
    const work = (beginnings + 1) * source.length;
    if (this.#depth >= DEPTH || this.#inlineWork + work > INLINE_WORK) {
      tokens.push(verbatim(source));
      return tokens;
    }
    this.#inlineWork += work;
    return this.#deeper(() => super.inlineTokens(source, tokens));
  }

  /**
   * @template T
   * @param {() => T} read
   * @returns {T}
   */
  #deeper(read) {
    this.#depth += 1;
    try {
      return read();
    } finally {
      this.#depth -= 1;
    }
  }
}

/**
 * @param {string} text
 * @returns {{tokens: Token[], links: string}}  `links`: the definitions, to be compared
 */
function read(text) {
  const isLong = text.length > MARKDOWN_CHARACTERS;
  const end = isLong ? text.lastIndexOf("\n", MARKDOWN_CHARACTERS) : text.length;
  const markdown = text.slice(0, isLong && end <= 0 ? MARKDOWN_CHARACTERS : end);
  let tokens;
  let links = "";
  try {
    const lexer = new BoundedLexer({ gfm: true, breaks: false });
    tokens = /** @type {Token[]} */ (lexer.lex(markdown));
    links = JSON.stringify(lexer.tokens.links);
  } catch {
    tokens = [plain([{ raw: markdown }])]; // Better plain than not at all.
  }
  const shown = tokens.filter(({ type }) => type !== "space" && type !== "def");
  if (isLong) shown.push(plain([{ raw: text.slice(markdown.length) }]));
  return { tokens: shown, links };
}

/** Makes the elements of tokens, up to a number of them. */
class Builder {
  nodes = 0;
  #limit;
  #isInLink = false;
  /** Whether an element around has a direction; one with its own would not count for that. */
  #isDirected = false;

  /** @param {number} limit */
  constructor(limit) {
    this.#limit = limit;
  }

  /**
   * @param {Token} token
   * @returns {Node}
   */
  block(token) {
    switch (token.type) {
      case "paragraph":
        return this.#phrasing("p", token);
      case "heading":
        return this.#phrasing(headingName(token.depth), token);
      case "blockquote":
        return this.#directed("blockquote", (quote) => this.#blocks(quote, tokensOf(token)));
      case "list":
        return this.#list(token);
      case "code":
        return this.#code(token);
      case "table":
        return this.#table(token);
      case "hr":
        return this.#make("hr");
      case "html":
        return this.#verbatim(token.raw.trimEnd());
      default:
        return this.inline(token);
    }
  }

  /**
   * @param {Token} token
   * @returns {Node}
   */
  inline(token) {
    switch (token.type) {
      case "strong":
      case "em":
      case "del":
        return this.#inlines(this.#make(token.type), tokensOf(token));
      case "codespan":
        return this.#withText("code", token.text);
      case "br":
        return this.#make("br");
      case "checkbox":
        return this.#checkbox(token.checked);
      case "link":
      case "image":
        return this.#link(token);
      case "html":
        // The one tag without markdown of its own, in the cells of tables.
        return /^<br\s*\/?>$/i.test(token.raw) ? this.#make("br") : this.#text(token.raw);
      case "escape":
        return this.#text(token.text);
      case "text":
        if (token.tokens) return this.#inlines(document.createDocumentFragment(), token.tokens);
        return this.#text(token.escaped ? token.text : decoded(token.text));
      default:
        return this.#text(token.raw);
    }
  }

  /**
   * @template {ParentNode & Node} T
   * @param {T} parent
   * @param {readonly Token[]} tokens
   * @returns {T}
   */
  #blocks(parent, tokens) {
    return this.#fill(parent, tokens, (token) => this.block(token));
  }

  /**
   * @template {ParentNode & Node} T
   * @param {T} parent
   * @param {readonly any[]} tokens
   * @returns {T}
   */
  #inlines(parent, tokens) {
    return this.#fill(parent, tokens, (token) => this.inline(token));
  }

  /**
   * @template {ParentNode & Node} T
   * @param {T} parent
   * @param {readonly Token[]} tokens
   * @param {(token: Token) => Node} make
   * @returns {T}
   */
  #fill(parent, tokens, make) {
    for (const [index, token] of tokens.entries()) {
      if (this.#isSpent) {
        parent.append(this.#text(rawOf(tokens.slice(index))));
        break;
      }
      if (token.type !== "space" && token.type !== "def") parent.append(make(token));
    }
    return parent;
  }

  get #isSpent() {
    return this.nodes >= this.#limit;
  }

  /**
   * @param {string} name
   * @param {Token} token
   */
  #phrasing(name, token) {
    return this.#directed(name, (element) => this.#inlines(element, tokensOf(token)));
  }

  /** @param {ListToken} token */
  #list({ ordered, start, items }) {
    return this.#directed(ordered ? "ol" : "ul", (list) => {
      if (ordered && start !== 1 && start !== "") list.setAttribute("start", String(start));
      this.#fill(list, items, (item) => {
        const element = this.#make("li");
        if (/** @type {ListItemToken} */ (item).task) element.className = "task";
        return this.#blocks(element, tokensOf(item));
      });
    });
  }

  /** @param {boolean} isChecked */
  #checkbox(isChecked) {
    const box = /** @type {HTMLInputElement} */ (this.#make("input"));
    box.type = "checkbox";
    box.disabled = true;
    box.defaultChecked = isChecked;
    box.ariaLabel = isChecked ? WORDS.taskDone : WORDS.taskOpen;
    return box;
  }

  /** @param {CodeToken} token */
  #code({ text, lang }) {
    const box = this.#make("div");
    box.className = "code";
    const bar = this.#make("div");
    bar.className = "code-bar";
    const language = (lang ?? "").split(/[\s{,]/, 1)[0] ?? "";
    bar.append(this.#withText("span", language.slice(0, LANGUAGE_CHARACTERS) || WORDS.code));
    const button = copyButton(WORDS.copyCode, () => text);
    if (button) {
      bar.append(button);
      this.nodes += button.querySelectorAll("*").length + 1;
    }
    const pre = this.#make("pre");
    pre.tabIndex = 0; // It scrolls, so that the keyboard must reach it.
    pre.dir = "ltr";
    pre.append(this.#withText("code", text));
    box.append(bar, pre);
    return box;
  }

  /** @param {TableToken} token */
  #table(token) {
    const cells = token.header.length * (token.rows.length + 1);
    if (this.nodes + 3 * cells > this.#limit) return this.#verbatim(token.raw);
    const table = this.#directed("table", (table) => {
      const head = this.#make("thead");
      const body = this.#make("tbody");
      head.append(this.#row(token.header, "th"));
      for (const row of token.rows) body.append(this.#row(row, "td"));
      table.append(head, body);
    });
    const scroller = this.#make("div");
    scroller.className = "table";
    scroller.tabIndex = 0;
    scroller.role = "group";
    scroller.ariaLabel = WORDS.table;
    scroller.append(table);
    return scroller;
  }

  /**
   * @param {TableCellToken[]} cells
   * @param {"td" | "th"} name
   */
  #row(cells, name) {
    const row = this.#make("tr");
    for (const { tokens, align } of cells) {
      const cell = this.#make(name);
      if (name === "th") cell.setAttribute("scope", "col");
      if (align) cell.className = `align-${align}`;
      row.append(this.#inlines(cell, tokens));
    }
    return row;
  }

  /** @param {LinkToken | ImageToken} token */
  #link(token) {
    const isLiteral = token.type === "link" && token.autolink === true;
    const url = this.#isInLink ? null : allowedUrl(isLiteral ? token.href : decoded(token.href));
    if (url === null) return this.#inlines(document.createDocumentFragment(), tokensOf(token));
    const link = /** @type {HTMLAnchorElement} */ (this.#make("a"));
    link.href = url;
    link.target = "_blank";
    link.rel = "noopener noreferrer nofollow";
    this.#isInLink = true;
    if (token.type === "link" && isLiteral) link.append(this.#text(token.text));
    else this.#inlines(link, tokensOf(token));
    this.#isInLink = false;
    if (link.textContent === "") link.append(this.#text(url)); // a picture without a name
    return link;
  }

  /** @param {string} text  shown as it was written */
  #verbatim(text) {
    return this.#directed("p", (element) => {
      element.className = "plain";
      element.append(this.#text(text));
    });
  }

  /**
   * @param {string} name
   * @param {string} text
   */
  #withText(name, text) {
    const element = this.#make(name);
    element.append(this.#text(text));
    return element;
  }

  /**
   * An element whose words say in which direction it is read.
   *
   * @param {string} name
   * @param {(element: HTMLElement) => void} fill
   */
  #directed(name, fill) {
    const element = this.#make(name);
    if (this.#isDirected) {
      fill(element);
      return element;
    }
    element.dir = "auto";
    this.#isDirected = true;
    fill(element);
    this.#isDirected = false;
    return element;
  }

  /** @param {string} name */
  #make(name) {
    this.nodes += 1;
    return document.createElement(name);
  }

  /** @param {string} text */
  #text(text) {
    this.nodes += 1;
    return document.createTextNode(text);
  }
}

/**
 * The address of a link, as the browser would read it, or null where it must not be one.
 *
 * @param {string} href
 * @returns {string | null}
 */
function allowedUrl(href) {
  if (!URL.canParse(href)) return null; // also a relative one: there is nothing beside this page
  const url = new URL(href);
  // A name before @ is there to be taken for the host.
  const isDeceiving = url.username !== "" || url.password !== "";
  return LINK_SCHEMES.has(url.protocol) && !isDeceiving ? url.href : null;
}

/**
 * Character references as the characters that they stand for.
 *
 * @param {string} text
 */
function decoded(text) {
  return text.replace(ENTITY, (whole, decimal, hexadecimal, name) => {
    if (name) return ENTITIES.get(name) ?? whole;
    const code = decimal ? Number.parseInt(decimal, 10) : Number.parseInt(hexadecimal, 16);
    const isCharacter = code > 0 && code <= 0x10ffff && !(code >= 0xd800 && code <= 0xdfff);
    return isCharacter ? String.fromCodePoint(code) : "\ufffd";
  });
}

/** @param {number} depth */
function headingName(depth) {
  return `h${Math.min(6, depth + HEADING_SHIFT)}`;
}

/**
 * @param {{raw: string, tokens?: readonly any[]}} token
 * @returns {readonly Token[]}
 */
function tokensOf(token) {
  return token.tokens ?? [];
}

/** @param {Token | undefined} token */
function sourceOf(token) {
  return token === undefined ? "" : `${token.type} ${token.raw}`;
}

/** @param {readonly {raw: string}[]} tokens */
function rawOf(tokens) {
  return tokens.map(({ raw }) => raw).join("");
}

/**
 * One paragraph as it was written, in the place of many tokens.
 *
 * @param {readonly {raw: string}[]} tokens
 * @returns {Token}
 */
function plain(tokens) {
  return { type: "html", raw: rawOf(tokens), text: "", pre: false, block: true };
}

/**
 * @param {string} text
 * @returns {Token}
 */
function verbatim(text) {
  return { type: "text", raw: text, text, escaped: true };
}
