-- The language server in a real client: what Neovim shows of it.
-- In: the environment's ANLAGE, and FOLDER with the files of tests/end_to_end/lsp. Out: ok / not ok lines; exit status.
local anlage, folder = os.getenv('ANLAGE'), os.getenv('FOLDER')
local failures = 0

local function verdict(name, good, found)
  if good then
    io.stdout:write('ok neovim ' .. name .. '\n')
  else
    failures = failures + 1
    io.stdout:write('not ok neovim ' .. name .. ': ' .. vim.inspect(found):gsub('\n', ' '):sub(1, 1500) .. '\n')
  end
end

-- Waits until the function gives something else than nil and false; its last value.
local function await(get)
  local value
  vim.wait(20000, function()
    value = get()
    return value
  end, 20)
  return value
end

vim.o.swapfile = false
vim.cmd('cd ' .. folder)
vim.cmd('edit main.yaml')
local buffer = vim.api.nvim_get_current_buf()
local id = vim.lsp.start_client({ name = 'anlage', cmd = { anlage, 'lsp' }, root_dir = folder, on_exit = function(status)
  _G.server_status = status
end })
vim.lsp.buf_attach_client(buffer, id)
local client = vim.lsp.get_client_by_id(id)
verdict('initializes', await(function() return client.server_capabilities and client.initialized end), client)

-- The byte offset of a text in the buffer becomes the cursor.
local function go(text, more)
  for number, line in ipairs(vim.api.nvim_buf_get_lines(buffer, 0, -1, false)) do
    local at = line:find(text, 1, true)
    if at then
      vim.api.nvim_win_set_cursor(0, { number, at - 1 + (more or 0) })
      return
    end
  end
  error('no such text: ' .. text)
end

local function ask(method, params)
  local answers = vim.lsp.buf_request_sync(buffer, method, params or vim.lsp.util.make_position_params(0, client.offset_encoding), 20000)
  return answers and answers[id] and answers[id].result
end

-- Exchanges a text in the buffer, as typing does.
local function exchange(old, new)
  for number, line in ipairs(vim.api.nvim_buf_get_lines(buffer, 0, -1, false)) do
    local from, to = line:find(old, 1, true)
    if from then
      vim.api.nvim_buf_set_text(buffer, number - 1, from - 1, number - 1, to, { new })
      return
    end
  end
  error('no such text: ' .. old)
end

-- diagnostics, behind characters of two units in UTF-16, as one types
exchange('(scores - label)', '(score - label)')
local found = await(function()
  local list = vim.diagnostic.get(buffer)
  return #list == 1 and list
end)
local line = vim.api.nvim_buf_get_lines(buffer, found and found[1].lnum or 0, (found and found[1].lnum or 0) + 1, false)[1]
verdict('diagnostics', found and found[1].message:find('score', 1, true) and line:sub(found[1].col + 1, found[1].end_col) == 'score',
  found or vim.diagnostic.get(buffer))
exchange('(score - label)', '(scores - label)')
verdict('diagnostics go away', await(function() return #vim.diagnostic.get(buffer) == 0 end), vim.diagnostic.get(buffer))

-- hover
go('pooled: ')
local hover = ask('textDocument/hover')
verdict('hover', hover and hover.contents.value:find('batch 8, channel 2', 1, true), hover)

-- completion, as the omnifunc of the client gives it, while the text is broken
exchange('scores: head(pooled)', 'scores: head(po')
go('head(po', 6)
vim.cmd('startinsert!')
vim.api.nvim_win_set_cursor(0, { vim.api.nvim_win_get_cursor(0)[1], #vim.api.nvim_get_current_line() })
local completion = ask('textDocument/completion')
local items = completion and vim.lsp.util.extract_completion_items(completion) or {}
local labels = vim.tbl_map(function(item) return item.label end, items)
verdict('completion', vim.tbl_contains(labels, 'pooled') and vim.tbl_contains(labels, 'mean'), labels)
local complete_items = vim.lsp.util.text_document_completion_list_to_complete_items(completion or {}, 'po')
verdict('completion chooses by prefix', #complete_items >= 1 and complete_items[1].word == 'pooled', complete_items)
vim.cmd('stopinsert')
exchange('scores: head(po', 'scores: head(pooled)')

-- definition in an imported file; the client jumps there
go('affine(')
vim.lsp.buf.definition()
local there = await(function() return vim.api.nvim_buf_get_name(0):match('parts.yaml$') end)
verdict('definition', there and vim.api.nvim_get_current_line():match('^  affine:'), vim.api.nvim_get_current_line())
vim.cmd('buffer ' .. buffer)

-- renaming, applied by the client
go('pooled: ')
vim.lsp.buf.rename('means')
verdict('rename', await(function()
  local text = table.concat(vim.api.nvim_buf_get_lines(buffer, 0, -1, false), '\n')
  return text:find('means: mean', 1, true) and text:find('head(means)', 1, true)
end), vim.api.nvim_buf_get_lines(buffer, 0, -1, false))

-- formatting, applied by the client
exchange('scores: head(means)', 'scores:     head( means )')
local edits = ask('textDocument/formatting', vim.lsp.util.make_formatting_params())
vim.lsp.util.apply_text_edits(edits or {}, buffer, client.offset_encoding)
verdict('formatting', table.concat(vim.api.nvim_buf_get_lines(buffer, 0, -1, false), '\n'):find('\n  scores: head(means)\n', 1, true), edits)

-- a quick fix, applied by the client
exchange('scores: head(means)', 'scores: head(means) # lint: allow A0506 because of nothing')
await(function() return #vim.diagnostic.get(buffer) == 1 end)
go('# lint')
local range = vim.lsp.util.make_range_params(0, client.offset_encoding)
range.context = { diagnostics = {} }
local actions = ask('textDocument/codeAction', range) or {}
if actions[1] then
  vim.lsp.util.apply_workspace_edit(actions[1].edit, client.offset_encoding)
end
verdict('quick fix', actions[1] and actions[1].isPreferred and
  table.concat(vim.api.nvim_buf_get_lines(buffer, 0, -1, false), '\n'):find('\n  scores: head(means)\n', 1, true), actions)

-- symbols
local symbols = ask('textDocument/documentSymbol', { textDocument = vim.lsp.util.make_text_document_params(buffer) })
local flat = symbols and vim.lsp.util.symbols_to_items(symbols, buffer) or {}
verdict('symbols', #flat > 10, flat)

-- the end
client.stop()
verdict('shutdown', await(function() return _G.server_status end) == 0, _G.server_status)
vim.cmd(failures == 0 and 'qa!' or 'cq!')
