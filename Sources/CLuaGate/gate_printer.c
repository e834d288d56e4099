// The printer of the prompt, in Lua: strings quoted, tables with sorted keys, limits on depth and
// number of items. In Lua because it must be interruptible, respect the memory limit, and call
// __tostring of whatever it meets; it keeps its own references to the library, so that a script
// that changes `string` does not change it. A list of records prints as a table with columns; keys
// that gate_show_in_hex named print their integers in hex.
#include "gate_internal.h"

static const char source[] =
    "local raw_pairs, hex = ...\n"
    "local tostring, type, next, rawget = tostring, type, next, rawget\n"
    "local rawlen, getmetatable = rawlen, getmetatable\n"
    "local concat, rep = table.concat, string.rep\n"
    "local gsub, find, byte, format = string.gsub, string.find, string.byte, string.format\n"
    "local utf8len, mathtype = utf8.len, math.type\n"
    "local deepest, most_items, most_total, width = 4, 64, 400, 78\n"
    "local names = { ['\\n'] = '\\\\n', ['\\t'] = '\\\\t', ['\\r'] = '\\\\r', ['\"'] = '\\\\\"',\n"
    "  ['\\\\'] = '\\\\\\\\' }\n"
    "local function escape(c) return names[c] or format('\\\\x%02x', byte(c)) end\n"
    "local function quote(s)\n"
    "  s = gsub(s, utf8len(s) and '[%c\"\\\\\\127]' or '[%c\"\\\\\\127-\\255]', escape)\n"
    "  return '\"' .. s .. '\"'\n"
    "end\n"
    "local keywords = {}\n"
    "for w in string.gmatch('and break do else elseif end false for function goto if in local nil '\n"
    "  .. 'not or repeat return then true until while', '%a+') do keywords[w] = true end\n"
    "local show\n"
    "local function key_text(k, state)\n"
    "  if type(k) == 'string' then\n"
    "    if find(k, '^[%a_][%w_]*$') and not keywords[k] then return k end\n"
    "    return '[' .. quote(k) .. ']'\n"
    "  end\n"
    "  return '[' .. (type(k) == 'table' and tostring(k) or show(k, state, deepest, '')) .. ']'\n"
    "end\n"
    "local sort = table.sort\n"
    "local function scalar(k, v)\n"
    "  if mathtype(v) == 'integer' and hex[k] then return format('0x%x', v) end\n"
    "  return type(v) == 'string' and v or tostring(v)\n"
    "end\n"
    "local function is_plain(v)\n"
    "  local kind = type(v)\n"
    "  return kind == 'number' or kind == 'boolean' or\n"
    "    kind == 'string' and #v <= 40 and utf8len(v) and not find(v, '%c')\n"
    "end\n"
    // At least two records that share most keys, no line wider than the screen; otherwise nil.
    "local function columns(t, n, indent)\n"
    "  local names, seen, cells = {}, {}, 0\n"
    "  if n < 2 then return nil end\n"
    "  local rows = n < most_items and n or most_items\n"
    "  for i = 1, rows do\n"
    "    local record = rawget(t, i)\n"
    "    if type(record) ~= 'table' or getmetatable(record) ~= nil then return nil end\n"
    "    for k, v in next, record do\n"
    "      if type(k) ~= 'string' or not is_plain(v) then return nil end\n"
    "      if not seen[k] then\n"
    "        names[#names + 1] = k\n"
    "        seen[k] = { width = #k, left = false }\n"
    "      end\n"
    "      local length = utf8len(scalar(k, v))\n"
    "      if length > seen[k].width then seen[k].width = length end\n"
    "      if type(v) == 'string' then seen[k].left = true end\n"
    "      cells = cells + 1\n"
    "    end\n"
    "  end\n"
    "  if #names < 2 or cells * 3 < #names * rows * 2 then return nil end\n"
    "  sort(names)\n"
    "  local total = #indent\n"
    "  for i = 1, #names do total = total + seen[names[i]].width + 2 end\n"
    "  if total > width then return nil end\n"
    "  local function line(text_of)\n"
    "    local parts = {}\n"
    "    for i = 1, #names do\n"
    "      local name = names[i]\n"
    "      local column, text = seen[name], text_of(name)\n"
    "      local pad = rep(' ', column.width - utf8len(text))\n"
    "      parts[i] = column.left and text .. pad or pad .. text\n"
    "    end\n"
    "    return (gsub(indent .. concat(parts, '  '), ' +$', ''))\n"
    "  end\n"
    "  local lines = { line(function(name) return name end) }\n"
    "  for i = 1, rows do\n"
    "    local record = rawget(t, i)\n"
    "    lines[i + 1] = line(function(name)\n"
    "      local v = rawget(record, name)\n"
    "      return v == nil and '-' or scalar(name, v)\n"
    "    end)\n"
    "  end\n"
    "  if n > rows then lines[rows + 2] = indent .. '… ' .. format('%d', n - rows) .. ' more' end\n"
    "  return concat(lines, '\\n')\n"
    "end\n"
    // Texts without a line break share lines; each other one has lines of its own.
    "local function wrapped(parts, inner)\n"
    "  local lines, line = {}, nil\n"
    "  for i = 1, #parts do\n"
    "    local text = parts[i] .. (i < #parts and ',' or '')\n"
    "    if find(text, '\\n', 1, true) then\n"
    "      if line then lines[#lines + 1] = line end\n"
    "      lines[#lines + 1], line = text, nil\n"
    "    elseif line and #inner + #line + 1 + #text <= width then line = line .. ' ' .. text\n"
    "    else\n"
    "      if line then lines[#lines + 1] = line end\n"
    "      line = text\n"
    "    end\n"
    "  end\n"
    "  lines[#lines + 1] = line\n"
    "  return concat(lines, '\\n' .. inner)\n"
    "end\n"
    // `hexed`: an ancestor's key is one whose integers print in hex.
    "local function show_table(t, state, depth, indent, hexed)\n"
    "  if state.open[t] then return '<cycle>' end\n"
    "  if depth >= deepest then return next(t) == nil and '{}' or '{…}' end\n"
    "  state.open[t] = true\n"
    "  local parts, total, inner = {}, 0, indent .. '  '\n"
    "  local n, shown, one_line, keyed = rawlen(t), 0, 2, false\n"
    "  local function add(text)\n"
    "    shown = shown + 1\n"
    "    parts[shown] = text\n"
    "    one_line = one_line + #text + 2\n"
    "  end\n"
    "  for k, v in state.each(t) do\n"
    "    total = total + 1\n"
    "    if shown < most_items and state.total < most_total then\n"
    "      state.total = state.total + 1\n"
    "      local text = mathtype(v) == 'integer' and (hexed or hex[k]) and format('0x%x', v)\n"
    "        or show(v, state, depth + 1, inner, hexed or hex[k])\n"
    "      if mathtype(k) == 'integer' and k >= 1 and k <= n then add(text)\n"
    "      else\n"
    "        keyed = true\n"
    "        add(key_text(k, state) .. ' = ' .. text)\n"
    "      end\n"
    "    end\n"
    "  end\n"
    "  state.open[t] = nil\n"
    "  if total > shown then add('… ' .. format('%d', total - shown) .. ' more') end\n"
    "  if total == 0 then return '{}' end\n"
    "  local body = concat(parts, ', ')\n"
    "  if one_line + #indent <= width and not find(body, '\\n', 1, true) then\n"
    "    return '{ ' .. body .. ' }'\n"
    "  end\n"
    "  body = keyed and concat(parts, ',\\n' .. inner) or wrapped(parts, inner)\n"
    "  return '{\\n' .. inner .. body .. '\\n' .. indent .. '}'\n"
    "end\n"
    "function show(v, state, depth, indent, hexed)\n"
    "  local kind = type(v)\n"
    "  if kind == 'string' then return quote(v) end\n"
    "  if kind ~= 'table' then return tostring(v) end\n"
    "  local meta = getmetatable(v)\n"
    "  if type(meta) == 'string' or type(meta) == 'table' and rawget(meta, '__tostring') ~= nil then\n"
    "    return tostring(v)\n"
    "  end\n"
    "  return show_table(v, state, depth, indent, hexed)\n"
    "end\n"
    "return function(v)\n"
    "  if type(v) == 'table' and getmetatable(v) == nil then\n"
    "    local n, keys = rawlen(v), 0\n"
    "    for _ in next, v do keys = keys + 1 if keys > n then break end end\n"
    "    local text = keys == n and columns(v, n, '')\n"
    "    if text then return text end\n"
    "  end\n"
    "  return show(v, { open = {}, total = 0, each = raw_pairs }, 0, '')\n"
    "end\n";

// pairs without __pairs, whose code would be the script's. Upvalue: pairs.
static int raw_pairs(lua_State *L) {
  luaL_checktype(L, 1, LUA_TTABLE);
  if (!lua_getmetatable(L, 1)) {
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_insert(L, 1);
    lua_call(L, 1, 3);
    return 3;
  }
  // A copy is shown instead; the metatable stays where it is.
  lua_settop(L, 1);
  lua_pushvalue(L, lua_upvalueindex(1));
  lua_newtable(L);
  lua_pushnil(L);
  while (lua_next(L, 1)) {
    lua_pushvalue(L, -2);
    lua_insert(L, -2);
    lua_rawset(L, 3);
  }
  lua_call(L, 1, 3);
  return 3;
}

void gate_open_printer(lua_State *L) {
  if (luaL_loadbufferx(L, source, sizeof source - 1, "=printer", "t") != LUA_OK) lua_error(L);
  lua_getglobal(L, "pairs");
  lua_pushcclosure(L, raw_pairs, 1);
  lua_newtable(L);
  lua_pushvalue(L, -1);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &gate_key_hex);
  lua_call(L, 2, 1);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &gate_key_printer);
}

static int show_in_hex(lua_State *L) {
  lua_rawgetp(L, LUA_REGISTRYINDEX, &gate_key_hex);
  lua_pushstring(L, lua_touserdata(L, 1));
  lua_pushboolean(L, 1);
  lua_rawset(L, -3);
  return 0;
}

bool gate_show_in_hex(gate_session *s, const char *name) {
  lua_State *L = s->L;
  if (!lua_checkstack(L, 4)) return false;
  lua_pushcfunction(L, show_in_hex);
  lua_pushlightuserdata(L, (void *)name);
  int status = lua_pcall(L, 1, 0, 0);
  if (status != LUA_OK) lua_pop(L, 1);
  return status == LUA_OK;
}
