# Thousands of edits in a session with the language server: memory stays, answers stay right, nothing hangs.
# In: lsp_edits.py EDITS FOLDER COMMAND...; FOLDER holds main.yaml and its imports. Out: ok / not ok lines; exit 1 when something is wrong.
# Every edit is a keystroke's: letters put in and taken away all over the text, most of them breaking it.
import importlib.util
import os
import random
import sys
import time

here = os.path.dirname(os.path.abspath(__file__))
edits, folder, command = int(sys.argv[1]), os.path.realpath(sys.argv[2]), sys.argv[3:]
spec = importlib.util.spec_from_file_location('lsp_replay', os.path.join(here, 'lsp_replay.py'))
replay = importlib.util.module_from_spec(spec)
spec.loader.exec_module(replay)

client = replay.Client(folder, command)
name = 'main.yaml'


def ask(method, params):
    number = client.request(method, params)
    message = client.await_message(lambda m: m.get('id') == number and 'method' not in m)
    if message is None:
        print('not ok lsp edits: no answer to %s after %d edits' % (method, done))
        client.process.kill()
        sys.exit(1)
    client.kept = []
    return message


def memory():
    with open('/proc/%d/statm' % client.process.pid) as file:
        return int(file.read().split()[1]) * os.sysconf('SC_PAGE_SIZE')


def verdict(what, good, found=''):
    global failed
    failed = failed or not good
    print('%s lsp edits: %s%s' % ('ok' if good else 'not ok', what, '' if good else ': %s' % found))


failed, done = False, 0
ask('initialize', {'processId': None, 'rootUri': client.uri('.'), 'capabilities': {}})
client.send({'method': 'initialized', 'params': {}})
whole = client.texts[name] = client.text(name)
client.versions[name] = 1
document = {'uri': client.uri(name)}
client.send({'method': 'textDocument/didOpen', 'params': {'textDocument': dict(document, languageId='yaml', version=1, text=whole)}})
random.seed(20)
letters = 'abx_ .:,=()[]{}"\'#-\n*0é🧠'
early, slowest = None, 0
while done < edits:
    text = client.texts[name]
    at = random.randrange(len(text))
    if random.random() < 0.5 and len(text) > len(whole) // 2:
        old, new = text[at:at + 1 + random.randrange(3)], ''
    else:
        old, new = '', random.choice(letters)
    start, end = client.position(name, at), client.position(name, at + len(old))
    client.texts[name] = text[:at] + new + text[at + len(old):]
    if done % 50 == 49:  # now and then the text is whole again
        client.texts[name] = whole
        change = {'text': whole}
    else:
        change = {'range': {'start': start, 'end': end}, 'text': new}
    client.versions[name] += 1
    client.send({'method': 'textDocument/didChange', 'params': {
        'textDocument': dict(document, version=client.versions[name]), 'contentChanges': [change]}})
    place = {'textDocument': document, 'position': client.position(name, min(at + len(new), len(client.texts[name])))}
    begin = time.time()
    ask('textDocument/completion', place)
    if done % 3 == 0:
        ask(random.choice(['textDocument/hover', 'textDocument/definition', 'textDocument/references', 'textDocument/documentSymbol']),
            dict(place, context={'includeDeclaration': True}))
    if done % 7 == 0:
        ask('textDocument/codeAction', dict(textDocument=document, range={'start': start, 'end': start}, context={'diagnostics': []}))
        ask('textDocument/formatting', dict(textDocument=document, options={}))
    slowest = max(slowest, time.time() - begin)
    done += 1
    if done == edits // 4:
        early = memory()
client.send({'method': 'textDocument/didChange', 'params': {'textDocument': dict(document, version=0), 'contentChanges': [{'text': whole}]}})
client.texts[name] = whole
answer = ask('textDocument/hover', dict(textDocument=document, position=client.fill({'$at': [name, 'pooled: ']})))
verdict('the answer after %d edits' % edits, 'batch 8, channel 2' in str(answer.get('result')), answer)
late = memory()
verdict('memory stays', late < 1.25 * early + (4 << 20), '%d MiB after a quarter, %d MiB at the end' % (early >> 20, late >> 20))
ask('shutdown', None)
client.send({'method': 'exit'})
verdict('a good end', client.process.wait(20) == 0, client.process.returncode)
print('%d edits; %.1f MiB after a quarter, %.1f MiB at the end; slowest answer %.0f ms' % (edits, early / 2**20, late / 2**20, 1e3 * slowest))
sys.exit(1 if failed else 0)
