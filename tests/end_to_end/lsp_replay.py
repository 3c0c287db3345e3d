# Replays a recorded session with a language server and says where its answers differ.
# In: lsp_replay.py SESSION FOLDER COMMAND...; SESSION is described below, FOLDER holds the files it speaks of. Out: lines `ok NAME` and
# `not ok NAME: what differs`; exit 1 when something differs.
#
# A session is a text of entries; an entry begins with its mark at the beginning of a line, and its JSON may go on over indented lines:
#   # NAME          names what follows
#   > METHOD JSON   a request with these params; < JSON behind it is what its result must contain, ! JSON its error
#   >> METHOD JSON  a notification
#   << METHOD JSON  a notification or request of the server that must come, with params that contain this
#   raw TEXT        bytes as they are (with Python's escapes), no frame around them
#   frame TEXT      the same as the body of a message
#   together JSON   a list of messages that go out in one piece; the answer to the first one is looked at
#   large N         a message of N bytes, of a method that there is not
#   write FILE TEXT  a file on the disk becomes this text
#   close           the client closes its side
#   exit STATUS     the process ends with this status
#   edit FILE JSON  ["old", "new", …]: changes of the text as incremental didChange; version counts up
# In JSON, {"$at": [FILE, TEXT, N]} is the position of TEXT's first occurrence in FILE (as it is now) plus N characters,
# {"$range": [FILE, TEXT, PART]} the range of TEXT, or of PART in it, {"$uri": FILE} its URI, {"$text": FILE} its text.
# What an answer must contain: objects their keys; lists, for each item one that contains it; texts that begin with ~ a regular
# expression; {"$exactly": LIST} no further items; {"$none": X} no item that contains X; {"$absent": true} no such key.
import json
import os
import queue
import re
import subprocess
import sys
import threading
import urllib.parse

TIMEOUT = 20


class Client:
    def __init__(self, folder, command):
        self.folder = folder
        self.texts, self.versions = {}, {}
        self.utf8 = False
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=folder)
        self.messages, self.kept, self.next_id = queue.Queue(), [], 0
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        out = self.process.stdout
        while True:
            length = None
            while True:
                line = out.readline()
                if not line:
                    self.messages.put(None)
                    return
                if line == b'\r\n':
                    break
                name, _, value = line.partition(b':')
                if name.lower() == b'content-length':
                    length = int(value)
            self.messages.put(json.loads(out.read(length).decode('utf-8')))

    def send_bytes(self, data):
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def send(self, message):
        body = json.dumps(dict(message, jsonrpc='2.0'), ensure_ascii=False).encode('utf-8')
        self.send_bytes(b'Content-Length: %d\r\n\r\n' % len(body) + body)

    def request(self, method, params):
        self.next_id += 1
        self.send({'id': self.next_id, 'method': method, 'params': params})
        return self.next_id

    def await_message(self, wanted):
        for i, message in enumerate(self.kept):
            if wanted(message):
                return self.kept.pop(i)
        while True:
            try:
                message = self.messages.get(timeout=TIMEOUT)
            except queue.Empty:
                return None
            if message is None:
                self.messages.put(None)
                return None
            if 'method' in message and 'id' in message:
                self.send({'id': message['id'], 'result': None})
            if wanted(message):
                return message
            self.kept.append(message)

    # ---- texts ----
    def uri(self, name):
        return name if ':' in name else 'file://' + urllib.parse.quote(os.path.join(self.folder, name))

    def text(self, name):
        if name not in self.texts:
            with open(os.path.join(self.folder, name), encoding='utf-8', newline='') as file:
                return file.read()
        return self.texts[name]

    def position(self, name, at):
        before = self.text(name)[:at]
        line = before.count('\n')
        column = before.rsplit('\n', 1)[-1]
        return {'line': line, 'character': len(column.encode('utf-8')) if self.utf8 else len(column.encode('utf-16-le')) // 2}

    def find(self, name, text):
        at = self.text(name).find(text)
        if at < 0:
            raise ValueError('%s does not hold %r' % (name, text))
        return at

    def fill(self, value):
        if isinstance(value, list):
            return [self.fill(item) for item in value]
        if not isinstance(value, dict):
            return value
        if '$at' in value:
            name, text, more = (value['$at'] + [0])[:3]
            return self.position(name, self.find(name, text) + more)
        if '$range' in value:
            name, text, part = (value['$range'] + [None])[:3]
            at = self.find(name, text) + (text.index(part) if part else 0)
            return {'start': self.position(name, at), 'end': self.position(name, at + len(part or text))}
        if '$uri' in value:
            return self.uri(value['$uri'])
        if '$text' in value:
            return self.text(value['$text'])
        return {self.uri(key[5:]) if key.startswith('$uri:') else key: self.fill(item) for key, item in value.items()}

    def edit(self, name, changes):
        edits = []
        for old, new in zip(changes[::2], changes[1::2]):
            at = self.find(name, old)
            edits.append({'range': {'start': self.position(name, at), 'end': self.position(name, at + len(old))}, 'text': new})
            self.texts[name] = self.texts[name][:at] + new + self.texts[name][at + len(old):]
        self.versions[name] += 1
        self.send({'method': 'textDocument/didChange', 'params': {
            'textDocument': {'uri': self.uri(name), 'version': self.versions[name]}, 'contentChanges': edits}})


# What of `wanted` is not in `found`; None: all of it is.
def lacking(wanted, found, where='$'):
    if isinstance(wanted, dict) and '$exactly' in wanted:
        if not isinstance(found, list) or len(found) != len(wanted['$exactly']):
            return '%s: %d items wanted, found %s' % (where, len(wanted['$exactly']), json.dumps(found, ensure_ascii=False)[:1500])
        return lacking(wanted['$exactly'], found, where)
    if isinstance(wanted, dict) and '$none' in wanted:
        for i, item in enumerate(found or []):
            if lacking(wanted['$none'], item) is None:
                return '%s[%d] is not to be there: %s' % (where, i, json.dumps(item, ensure_ascii=False)[:300])
        return None
    if isinstance(wanted, dict):
        if not isinstance(found, dict):
            return '%s: an object wanted, found %s' % (where, json.dumps(found, ensure_ascii=False)[:300])
        for key, value in wanted.items():
            if isinstance(value, dict) and '$absent' in value:
                if key in found:
                    return '%s.%s is not to be there' % (where, key)
                continue
            if key not in found:
                return '%s.%s is missing in %s' % (where, key, json.dumps(found, ensure_ascii=False)[:300])
            problem = lacking(value, found[key], where + '.' + key)
            if problem:
                return problem
        return None
    if isinstance(wanted, list):
        if not isinstance(found, list):
            return '%s: a list wanted, found %s' % (where, json.dumps(found, ensure_ascii=False)[:300])
        for i, value in enumerate(wanted):
            problems = [lacking(value, item, '%s[%d]' % (where, k)) for k, item in enumerate(found)]
            if None not in problems:
                return '%s: no item contains %s in %s' % (where, json.dumps(value, ensure_ascii=False),
                                                         json.dumps(found, ensure_ascii=False)[:1500])
        return None
    if isinstance(wanted, str) and wanted.startswith('~') and isinstance(found, str):
        return None if re.search(wanted[1:], found, re.S) else '%s: %r does not match %r' % (where, found, wanted[1:])
    if wanted is True and found is not True or wanted != found:
        return '%s: wanted %s, found %s' % (where, json.dumps(wanted, ensure_ascii=False), json.dumps(found, ensure_ascii=False)[:600])
    return None


def entries(path):
    entry = None
    with open(path, encoding='utf-8') as file:
        for number, line in enumerate(file, 1):
            if line[:1] in (' ', '\t') and line.strip() and entry:
                entry[2] += line
                continue
            if entry:
                yield entry
                entry = None
            if line.strip() and not line.startswith('##'):
                mark, _, rest = line.strip().partition(' ')
                entry = [number, mark, rest]
    if entry:
        yield entry


def main():
    session, folder, command = sys.argv[1], os.path.realpath(sys.argv[2]), sys.argv[3:]
    client = Client(folder, command)
    name, failed, problems, checks, pending = 'session', 0, [], 0, None

    def finish():
        nonlocal problems, checks, failed
        if problems:
            failed += 1
            print('not ok lsp %s: %s' % (name, '; '.join(problems)))
        elif checks:
            print('ok lsp %s' % name)
        sys.stdout.flush()
        problems, checks = [], 0

    def method_and_json(rest):
        method, _, text = rest.partition(' ')
        return method, client.fill(json.loads(text)) if text.strip() else {}

    for number, mark, rest in entries(session):
        try:
            if mark == '#':
                finish()
                name = rest
            elif mark == '>':
                method, params = method_and_json(rest)
                pending = client.request(method, params)
            elif mark in ('<', '!'):
                checks += 1
                wanted = client.fill(json.loads(rest))
                message = client.await_message(lambda m: m.get('id') == pending and 'method' not in m)
                key = 'result' if mark == '<' else 'error'
                if message is None:
                    problems.append('line %d: no answer' % number)
                elif key not in message:
                    problems.append('line %d: %s' % (number, json.dumps(message, ensure_ascii=False)[:500]))
                else:
                    problem = lacking(wanted, message[key])
                    if problem:
                        problems.append('line %d: %s' % (number, problem))
                    if 'capabilities' in (message.get('result') or {} if isinstance(message.get('result'), dict) else {}):
                        client.utf8 = message['result']['capabilities'].get('positionEncoding') == 'utf-8'
            elif mark == '>>':
                method, params = method_and_json(rest)
                document = params.get('textDocument') if params else None
                if method == 'textDocument/didOpen' and document and isinstance(document['uri'], str):
                    for known in os.listdir(folder) + [document['uri']]:
                        if client.uri(known) == document['uri']:
                            client.texts[known] = document['text']
                            client.versions[known] = document.get('version', 0)
                client.send({'method': method, 'params': params})
            elif mark == '<<':
                checks += 1
                method, wanted = method_and_json(rest)
                last = []

                def fits(message):
                    if message.get('method') != method:
                        return False
                    problem = lacking(wanted, message.get('params'))
                    if problem:
                        last[:] = [problem]
                    return problem is None
                if client.await_message(fits) is None:
                    problems.append('line %d: %s did not come (%s)' % (number, method, last[0] if last else 'none of that name'))
            elif mark == 'edit':
                file, _, text = rest.partition(' ')
                client.edit(file, json.loads(text))
            elif mark in ('raw', 'frame'):
                data = rest.encode('utf-8').decode('unicode_escape').encode('latin-1')
                client.send_bytes(data if mark == 'raw' else b'Content-Length: %d\r\n\r\n' % len(data) + data)
                pending = None
            elif mark == 'together':
                bodies = [json.dumps(dict(m, jsonrpc='2.0')).encode('utf-8') for m in client.fill(json.loads(rest))]
                client.send_bytes(b''.join(b'Content-Length: %d\r\n\r\n' % len(b) + b for b in bodies))
                pending = json.loads(bodies[0])['id']
            elif mark == 'large':
                pending = client.request('large/message', {'text': 'x' * int(rest)})
                pending = pending if int(rest) < 64 << 20 else None  # what is not read has no id
            elif mark == 'write':
                file, _, text = rest.partition(' ')
                with open(os.path.join(folder, file), 'w', encoding='utf-8') as out:
                    out.write(text + '\n')
            elif mark == 'close':
                client.process.stdin.close()
            elif mark == 'exit':
                checks += 1
                status = client.process.wait(timeout=TIMEOUT)
                if status != int(rest):
                    problems.append('line %d: ended with status %d' % (number, status))
            else:
                problems.append('line %d: what is `%s`?' % (number, mark))
        except (ValueError, OSError, subprocess.TimeoutExpired, re.error) as error:
            problems.append('line %d: %s' % (number, error))
    finish()
    if client.process.poll() is None:
        client.process.kill()
        client.process.wait()
    sys.exit(1 if failed else 0)


if __name__ == '__main__':
    main()
