// The language server behind the protocol library of Visual Studio Code's client (vscode-languageserver-protocol).
// In: node lsp_vscode.js ANLAGE FOLDER. Out: ok / not ok lines; exit status.
const { spawn } = require('child_process')
const fs = require('fs')
const path = require('path')
const { pathToFileURL } = require('url')
const p = require('vscode-languageserver-protocol/node')

const [anlage, folder] = process.argv.slice(2)
const uri = name => pathToFileURL(path.join(folder, name)).toString()
let failures = 0
const verdict = (name, good, found) => {
  failures += good ? 0 : 1
  console.log((good ? 'ok' : 'not ok') + ' vscode ' + name + (good ? '' : ': ' + JSON.stringify(found).slice(0, 1000)))
}

async function main () {
  const child = spawn(anlage, ['lsp'])
  const status = new Promise(resolve => child.on('exit', resolve))
  const connection = p.createProtocolConnection(new p.StreamMessageReader(child.stdout), new p.StreamMessageWriter(child.stdin))
  const waiting = []
  connection.onNotification(p.PublishDiagnosticsNotification.type, params => waiting.splice(0).forEach(resolve => resolve(params)))
  const registered = new Promise(resolve => connection.onRequest(p.RegistrationRequest.type, params => { resolve(params) }))
  connection.listen()
  const { capabilities } = await connection.sendRequest(p.InitializeRequest.type, {
    processId: process.pid, rootUri: uri('.'), workspaceFolders: [{ uri: uri('.'), name: 'here' }],
    capabilities: { general: { positionEncodings: ['utf-16'] }, workspace: { didChangeWatchedFiles: { dynamicRegistration: true } } }
  })
  verdict('initialize', capabilities.positionEncoding === p.PositionEncodingKind.UTF16 &&
    capabilities.textDocumentSync.change === p.TextDocumentSyncKind.Incremental, capabilities)
  connection.sendNotification(p.InitializedNotification.type, {})
  verdict('register', (await registered).registrations[0].method === p.DidChangeWatchedFilesNotification.method)

  const text = fs.readFileSync(path.join(folder, 'main.yaml'), 'utf8').replace('(scores - label)', '(score - label)')
  const positionOf = (what, more = 0) => {
    const before = text.slice(0, text.indexOf(what) + more)
    return { line: before.split('\n').length - 1, character: before.length - before.lastIndexOf('\n') - 1 }
  }
  const textDocument = { uri: uri('main.yaml') }
  const told = new Promise(resolve => waiting.push(resolve))
  connection.sendNotification(p.DidOpenTextDocumentNotification.type, { textDocument: { ...textDocument, languageId: 'yaml', version: 1, text } })
  const { diagnostics } = await told
  verdict('diagnostics', diagnostics.length === 1 && p.Diagnostic.is(diagnostics[0]) && diagnostics[0].range.start.character === positionOf('(score -', 1).character, diagnostics)
  const hover = await connection.sendRequest(p.HoverRequest.type, { textDocument, position: positionOf('pooled: ') })
  verdict('hover', p.Hover.is(hover) && hover.contents.value.includes('channel 2'), hover)
  const list = await connection.sendRequest(p.CompletionRequest.type, { textDocument, position: positionOf('head(pooled)', 5) })
  verdict('completion', list.items.every(item => p.TextEdit.is(item.textEdit)) && list.items.some(item => item.label === 'pooled'), list)
  const places = await connection.sendRequest(p.DefinitionRequest.type, { textDocument, position: positionOf('affine(') })
  verdict('definition', places.length === 1 && p.Location.is(places[0]) && places[0].uri === uri('parts.yaml'), places)
  const actions = await connection.sendRequest(p.CodeActionRequest.type, { textDocument, range: diagnostics[0].range, context: { diagnostics } })
  verdict('quick fix', actions.length > 0 && actions.every(action => p.CodeAction.is(action)), actions)
  const edits = await connection.sendRequest(p.DocumentFormattingRequest.type, { textDocument, options: { tabSize: 2, insertSpaces: true } })
  verdict('formatting', Array.isArray(edits) && edits.every(edit => p.TextEdit.is(edit)), edits)
  const symbols = await connection.sendRequest(p.DocumentSymbolRequest.type, { textDocument })
  verdict('symbols', symbols.length > 5 && symbols.every(symbol => p.DocumentSymbol.is(symbol)), symbols)
  const renamed = await connection.sendRequest(p.RenameRequest.type, { textDocument, position: positionOf('pooled: '), newName: 'means' })
  verdict('rename', p.WorkspaceEdit.is(renamed) && renamed.changes[textDocument.uri].length === 2, renamed)
  await connection.sendRequest(p.ShutdownRequest.type)
  connection.sendNotification(p.ExitNotification.type)
  verdict('shutdown', (await status) === 0)
}
main().catch(error => verdict('session', false, String(error))).then(() => process.exit(failures ? 1 : 0))
