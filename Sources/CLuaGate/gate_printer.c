// The printer of the prompt, in Lua: strings quoted, tables with sorted keys, limits on depth and
// number of items. In Lua because it must be interruptible, respect the memory limit, and call
// __tostring of whatever it meets; it keeps its own references to the library, so that a script
// that changes `string` does not change it.
#include "gate_internal.h"

static const char source[] =
    "local raw_pairs, tostring, type, next, rawget = ..., tostring, type, next, rawget\n"
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
    "local function show_table(t, state, depth, indent)\n"
    "  if state.open[t] then return '<cycle>' end\n"
    "  if depth >= deepest then return next(t) == nil and '{}' or '{…}' end\n"
    "  state.open[t] = true\n"
    "  local parts, total, inner = {}, 0, indent .. '  '\n"
    "  local n, shown, one_line = rawlen(t), 0, 2\n"
    "  local function add(text)\n"
    "    shown = shown + 1\n"
    "    parts[shown] = text\n"
    "    one_line = one_line + #text + 2\n"
    "  end\n"
    "  for k, v in state.each(t) do\n"
    "    total = total + 1\n"
    "    if shown < most_items and state.total < most_total then\n"
    "      state.total = state.total + 1\n"
    "      local text = show(v, state, depth + 1, inner)\n"
    "      if mathtype(k) == 'integer' and k >= 1 and k <= n then add(text)\n"
    "      else add(key_text(k, state) .. ' = ' .. text) end\n"
    "    end\n"
    "  end\n"
    "  state.open[t] = nil\n"
    "  if total > shown then add('… ' .. format('%d', total - shown) .. ' more') end\n"
    "  if total == 0 then return '{}' end\n"
    "  local body = concat(parts, ', ')\n"
    "  if one_line + #indent <= width and not find(body, '\\n', 1, true) then\n"
    "    return '{ ' .. body .. ' }'\n"
    "  end\n"
    "  return '{\\n' .. inner .. concat(parts, ',\\n' .. inner) .. '\\n' .. indent .. '}'\n"
    "end\n"
    "function show(v, state, depth, indent)\n"
    "  local kind = type(v)\n"
    "  if kind == 'string' then return quote(v) end\n"
    "  if kind ~= 'table' then return tostring(v) end\n"
    "  local meta = getmetatable(v)\n"
    "  if type(meta) == 'string' or type(meta) == 'table' and rawget(meta, '__tostring') ~= nil then\n"
    "    return tostring(v)\n"
    "  end\n"
    "  return show_table(v, state, depth, indent)\n"
    "end\n"
    "return function(v)\n"
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
  lua_call(L, 1, 1);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &gate_key_printer);
}
