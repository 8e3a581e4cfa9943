/** Stands between a client and a gateway and keeps what they say to each other, with keys and times as place holders. */
import http from 'node:http';

const KEY = /\b[0-9a-f]{36}\b/g;
const FINGERPRINT = /\b[0-9a-f]{64}\b/g;
const TIME = /\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z/g;
const SANDBOX = /("sandbox":)"\w+"/g;
const HEADERS = ['authorization', 'content-type', 'x-forio-confirmation'];
const NOBODY = '0'.repeat(36);

const read = async (stream) => {
    const parts = [];
    for await (const part of stream) parts.push(part);
    return Buffer.concat(parts).toString();
};

class Recorder {
    #exchanges = [];
    #keys = new Map();
    #step = '';
    #server;

    constructor(gateway) {
        this.#server = http.createServer((request, response) => this.#pass(gateway, request, response));
    }

    async listen() {
        await new Promise((resolve) => this.#server.listen(0, '127.0.0.1', resolve));
        this.url = `http://127.0.0.1:${this.#server.address().port}`;
        return this;
    }

    begin(step) {
        this.#step = step;
    }

    lines() {
        return this.#exchanges.map((one) => this.#hide(JSON.stringify(one)));
    }

    close() {
        this.#server.closeAllConnections();
        return new Promise((resolve) => this.#server.close(resolve));
    }

    /** Run keys are numbered by their first appearance; those of nobody stay as they are. */
    #hide(text) {
        const numbered = text.replace(KEY, (key) => {
            if (key === NOBODY) return key;
            if (!this.#keys.has(key)) this.#keys.set(key, `<key ${this.#keys.size + 1}>`);
            return this.#keys.get(key);
        });
        return numbered.replace(TIME, '<time>').replace(FINGERPRINT, '<fingerprint>').replace(SANDBOX, '$1"<word>"');
    }

    async #pass(gateway, request, response) {
        const body = await read(request);
        const headers = Object.fromEntries(HEADERS.filter((name) => request.headers[name])
            .map((name) => [name, request.headers[name]]));
        const sent = { method: request.method, headers, body: body || undefined };
        const answer = await fetch(new URL(request.url, gateway), sent);
        const text = await answer.text();
        const type = answer.headers.get('content-type');
        const [path, query = ''] = request.url.split('?');
        this.#exchanges.push({
            step: this.#step, method: request.method, path, query, headers,
            body: body ? JSON.parse(body) : null,
            status: answer.status, type, answer: text ? JSON.parse(text) : null,
        });
        response.writeHead(answer.status, type ? { 'content-type': type } : {});
        response.end(text);
    }
}

/** A recorder in front of a gateway; clients ask at its url. */
export const startRecorder = (gateway) => new Recorder(gateway).listen();
