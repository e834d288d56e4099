// Checking the arguments of a host function against its declaration.
//
// Everything happens before the host's body is entered, so raising is safe here. Messages follow
// Lua's grammar and name the argument, what is accepted, and what came instead.
#include "gate_internal.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

// ---- Words ------------------------------------------------------------------------------------

// The number of edits (insert, delete, replace, swap of neighbours) between two short names.
static int distance(const char *a, const char *b) {
  enum { longest = 40 };
  int la = (int)strlen(a), lb = (int)strlen(b);
  if (la > longest || lb > longest) return longest;
  int rows[3][longest + 1];
  for (int j = 0; j <= lb; j++) rows[0][j] = j;
  for (int i = 1; i <= la; i++) {
    int *row = rows[i % 3], *above = rows[(i - 1) % 3], *above2 = rows[(i + 1) % 3];
    row[0] = i;
    for (int j = 1; j <= lb; j++) {
      int best = above[j - 1] + (a[i - 1] != b[j - 1]);
      if (above[j] + 1 < best) best = above[j] + 1;
      if (row[j - 1] + 1 < best) best = row[j - 1] + 1;
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] && above2[j - 2] + 1 < best)
        best = above2[j - 2] + 1;
      row[j] = best;
    }
  }
  return rows[la % 3][lb];
}

// The position of the name nearest to `name`, or -1 when none is near.
int gate_nearest(const char *name, const char *const *names, int count) {
  int best = -1, least = (int)strlen(name) / 3 + 2;
  for (int i = 0; i < count; i++) {
    int d = distance(name, names[i]);
    // A name that the other begins with is near, however long the rest is.
    size_t n = strlen(name);
    if (n >= 3 && strncmp(name, names[i], n) == 0) d = d < 2 ? d : 1;
    if (d < least) {
      least = d;
      best = i;
    }
  }
  return best;
}

// Pushes a short description of the value for "got …" and returns it.
const char *gate_describe(lua_State *L, int index) {
  index = lua_absindex(L, index);
  switch (lua_type(L, index)) {
  case LUA_TNONE: return lua_pushliteral(L, "nothing");
  case LUA_TNIL: return lua_pushliteral(L, "nil");
  case LUA_TBOOLEAN: return lua_pushstring(L, lua_toboolean(L, index) ? "true" : "false");
  case LUA_TNUMBER:
    if (lua_isinteger(L, index)) return lua_pushfstring(L, "%I", lua_tointeger(L, index));
    return lua_pushfstring(L, "%f", lua_tonumber(L, index));
  case LUA_TSTRING: {
    size_t length;
    const char *text = lua_tolstring(L, index, &length);
    if (length <= 40) return lua_pushfstring(L, "\"%s\"", text);
    lua_pushlstring(L, text, 37);
    lua_pushfstring(L, "\"%s...\"", lua_tostring(L, -1));
    lua_remove(L, -2);
    return lua_tostring(L, -1);
  }
  case LUA_TUSERDATA: {
    gate_object *object = gate_to_object(L, index);
    return lua_pushfstring(L, "a %s", object ? object->type->name : "userdata");
  }
  default: return lua_pushfstring(L, "a %s", luaL_typename(L, index));
  }
}

static void add_range(luaL_Buffer *b, lua_State *L, const gate_parameter *p) {
  bool low = p->minimum != INT64_MIN, high = p->maximum != INT64_MAX;
  if (!low && !high) return;
  if (low && high)
    lua_pushfstring(L, " %I..%I", (lua_Integer)p->minimum, (lua_Integer)p->maximum);
  else if (low)
    lua_pushfstring(L, " of at least %I", (lua_Integer)p->minimum);
  else
    lua_pushfstring(L, " of at most %I", (lua_Integer)p->maximum);
  luaL_addvalue(b);
}

// Pushes "an integer 0..10" and the like.
static const char *expected(lua_State *L, const gate_parameter *p) {
  luaL_Buffer b;
  luaL_buffinit(L, &b);
  switch (p->kind) {
  case GATE_BOOLEAN: luaL_addstring(&b, "a boolean"); break;
  case GATE_INTEGER:
    luaL_addstring(&b, "an integer");
    add_range(&b, L, p);
    break;
  case GATE_PFN:
    luaL_addstring(&b, "a page frame number");
    add_range(&b, L, p);
    break;
  case GATE_ADDRESS: luaL_addstring(&b, "an address (an integer)"); break;
  case GATE_SIZE:
    luaL_addstring(&b, "a size: bytes, or a string such as \"4G\" or \"512MiB\"");
    if (p->minimum > 0 || p->maximum != INT64_MAX) {
      luaL_addstring(&b, ",");
      add_range(&b, L, p);
      luaL_addstring(&b, " bytes");
    }
    break;
  case GATE_NUMBER:
    luaL_addstring(&b, "a number");
    if (isfinite(p->number_minimum) || isfinite(p->number_maximum)) {
      lua_pushfstring(L, " %f..%f", p->number_minimum, p->number_maximum);
      luaL_addvalue(&b);
    }
    break;
  case GATE_STRING: luaL_addstring(&b, "a string"); break;
  case GATE_TABLE: luaL_addstring(&b, "a table"); break;
  case GATE_FUNCTION: luaL_addstring(&b, "a function"); break;
  case GATE_OBJECT:
    luaL_addstring(&b, "a ");
    luaL_addstring(&b, p->type->name);
    break;
  case GATE_ANY_OBJECT: luaL_addstring(&b, "an object"); break;
  case GATE_ENUM:
  case GATE_FLAGS:
    if (p->name_count > 12) {
      // A list of forty names hides the message; help has it.
      luaL_addstring(&b, p->kind == GATE_ENUM ? "a name that help lists"
                                              : "names joined by |, which help lists");
      break;
    }
    luaL_addstring(&b, p->kind == GATE_ENUM ? "one of " : "names joined by | among ");
    for (int i = 0; i < p->name_count; i++) {
      if (i > 0) luaL_addstring(&b, ", ");
      lua_pushfstring(L, "\"%s\"", p->names[i]);
      luaL_addvalue(&b);
    }
    break;
  default: luaL_addstring(&b, "a value"); break;
  }
  luaL_pushresult(&b);
  return lua_tostring(L, -1);
}

// Where a value stands: argument `position` of f, or a field of its only table.
typedef struct place {
  const gate_function *f;
  const gate_parameter *p;
  int position;
} place;

static _Noreturn void reject(lua_State *L, place at, int index, const char *hint) {
  luaL_checkstack(L, 12, NULL);
  // First, while a slot above the top still reads as nothing.
  const char *got = gate_describe(L, index);
  luaL_where(L, 1);
  if (at.f->named)
    lua_pushfstring(L, "bad field '%s' in '%s' (expected ", at.p->name, at.f->name);
  else
    lua_pushfstring(L, "bad argument #%d '%s' to '%s' (expected ", at.position, at.p->name,
                    at.f->name);
  expected(L, at.p);
  lua_pushliteral(L, ", got ");
  lua_pushstring(L, got);
  lua_pushstring(L, hint);
  lua_pushliteral(L, ")");
  lua_concat(L, 7);
  lua_error(L);
  abort();
}

// ---- Sizes ------------------------------------------------------------------------------------

// Bytes of "300G", "1.5G", "512MiB", "0x1000". Units are powers of 1024. False when it is none, or
// not a whole number of bytes below 2^63.
static bool parse_size(const char *s, size_t length, int64_t *bytes) {
  const char *end = s + length;
  while (s < end && *s == ' ') s++;
  if (s == end) return false;
  if (end - s > 2 && s[0] == '0' && (s[1] == 'x' || s[1] == 'X')) {
    uint64_t value = 0;
    for (s += 2; s < end; s++) {
      if (!isxdigit((unsigned char)*s) || value >> 59) return false;
      value = value * 16 + (uint64_t)(isdigit((unsigned char)*s) ? *s - '0' : (*s | 32) - 'a' + 10);
    }
    *bytes = (int64_t)value;
    return true;
  }
  unsigned __int128 digits = 0, scale = 1;
  bool any = false;
  for (; s < end && isdigit((unsigned char)*s); s++, any = true) {
    digits = digits * 10 + (unsigned)(*s - '0');
    if (digits >> 63) return false;
  }
  if (s < end && *s == '.') {
    for (s++; s < end && isdigit((unsigned char)*s); s++, any = true) {
      if (scale > 1000000000000000000u) return false;
      digits = digits * 10 + (unsigned)(*s - '0');
      scale *= 10;
    }
  }
  if (!any) return false;
  while (s < end && *s == ' ') s++;
  int shift = 0;
  if (s < end && *s != 'B' && *s != 'b') {
    static const char units[] = "kmgtpe";
    const char *unit = strchr(units, *s | 32);
    if (!unit || !isalpha((unsigned char)*s)) return false;
    shift = 10 * (int)(unit - units + 1);
    s++;
    if (s < end && *s == 'i') {
      s++;
      if (s == end) return false;
    }
  }
  if (s < end && (*s == 'B' || *s == 'b')) s++;
  while (s < end && *s == ' ') s++;
  if (s != end) return false;
  // digits < 2^63 * 10^18 < 2^123: shifting may overflow, so look first.
  if (digits >> (127 - shift)) return false;
  digits <<= shift;
  if (digits % scale) return false;
  digits /= scale;
  if (digits >> 63) return false;
  *bytes = (int64_t)digits;
  return true;
}

// ---- One value --------------------------------------------------------------------------------

static int find_name(const gate_parameter *p, const char *s, size_t length) {
  for (int i = 0; i < p->name_count; i++)
    if (strlen(p->names[i]) == length && memcmp(p->names[i], s, length) == 0) return i;
  return -1;
}

static _Noreturn void reject_name(lua_State *L, place at, int index, const char *name) {
  int near = gate_nearest(name, at.p->names, at.p->name_count);
  reject(L, at, index,
         near < 0 ? "" : lua_pushfstring(L, "; did you mean \"%s\"?", at.p->names[near]));
}

static void add_flags(lua_State *L, place at, int index, const char *s, size_t length,
                      int64_t *flags) {
  const char *end = s + length;
  while (s < end) {
    const char *bar = memchr(s, '|', (size_t)(end - s));
    const char *stop = bar ? bar : end, *last = stop;
    while (s < last && *s == ' ') s++;
    while (last > s && last[-1] == ' ') last--;
    if (last > s) {
      int bit = find_name(at.p, s, (size_t)(last - s));
      if (bit < 0) reject_name(L, at, index, lua_pushlstring(L, s, (size_t)(last - s)));
      *flags |= INT64_C(1) << bit;
    }
    s = bar ? bar + 1 : end;
  }
}

static void check_flags(lua_State *L, place at, int index, gate_value *v) {
  v->integer = 0;
  size_t length;
  if (lua_type(L, index) == LUA_TSTRING) {
    const char *s = lua_tolstring(L, index, &length);
    add_flags(L, at, index, s, length, &v->integer);
  } else if (lua_type(L, index) == LUA_TTABLE) {
    lua_Integer count = (lua_Integer)lua_rawlen(L, index);
    for (lua_Integer i = 1; i <= count && i <= 64; i++) {
      if (lua_rawgeti(L, index, i) != LUA_TSTRING) reject(L, at, -1, " in the list");
      const char *s = lua_tolstring(L, -1, &length);
      add_flags(L, at, -1, s, length, &v->integer);
      lua_pop(L, 1);
    }
  } else {
    reject(L, at, index, "");
  }
}

static void check_integer(lua_State *L, place at, int index, gate_value *v) {
  int whole = 0;
  if (lua_type(L, index) == LUA_TNUMBER) v->integer = lua_tointegerx(L, index, &whole);
  if (!whole) {
    const char *hint = "";
    if (lua_type(L, index) == LUA_TNUMBER)
      hint = "; use // for whole division";
    else if (lua_type(L, index) == LUA_TSTRING && lua_isnumber(L, index))
      hint = "; write the number without quotes";
    reject(L, at, index, hint);
  }
  if (at.p->kind != GATE_ADDRESS && (v->integer < at.p->minimum || v->integer > at.p->maximum))
    reject(L, at, index, "");
}

static void check_size(lua_State *L, place at, int index, gate_value *v) {
  int64_t low = at.p->minimum < 0 ? 0 : at.p->minimum;
  if (lua_type(L, index) == LUA_TSTRING) {
    size_t length;
    const char *s = lua_tolstring(L, index, &length);
    if (!parse_size(s, length, &v->integer)) reject(L, at, index, "");
    if (v->integer < low || v->integer > at.p->maximum)
      reject(L, at, index, lua_pushfstring(L, " = %I", (lua_Integer)v->integer));
    return;
  }
  int whole = 0;
  if (lua_type(L, index) == LUA_TNUMBER) v->integer = lua_tointegerx(L, index, &whole);
  if (!whole)
    reject(L, at, index,
           lua_type(L, index) == LUA_TNUMBER ? "; use // for whole division" : "");
  if (v->integer < low || v->integer > at.p->maximum) reject(L, at, index, "");
}

static void check_live(lua_State *L, const char *what, const char *function, gate_object *object) {
  const gate_type *type = object->type;
  if (!object->object)
    luaL_error(L, "%s of '%s' is closed: this %s was given back by close", what, function,
               type->name);
  if (type->is_live
      && !type->is_live(type->context, object->object, object->index, object->generation))
    luaL_error(L, "%s of '%s' is stale: the %s it named no longer exists", what, function,
               type->name);
}

static void check_value(lua_State *L, place at, int index, gate_value *v) {
  const gate_parameter *p = at.p;
  int type = lua_type(L, index);
  v->index = index;
  if (type <= LUA_TNIL) {
    if (!p->optional && !(p->kind == GATE_ANY && type == LUA_TNIL)) reject(L, at, index, "");
    v->kind = GATE_NIL;
    return;
  }
  v->kind = p->kind;
  switch (p->kind) {
  case GATE_INTEGER:
  case GATE_PFN:
  case GATE_ADDRESS: check_integer(L, at, index, v); break;
  case GATE_BOOLEAN:
    if (type != LUA_TBOOLEAN) reject(L, at, index, "");
    v->integer = lua_toboolean(L, index);
    break;
  case GATE_NUMBER: {
    if (type != LUA_TNUMBER) reject(L, at, index, "");
    double n = lua_tonumber(L, index);
    if (!(n >= p->number_minimum && n <= p->number_maximum)) reject(L, at, index, "");
    memcpy(&v->integer, &n, sizeof n);
    break;
  }
  case GATE_SIZE: check_size(L, at, index, v); break;
  case GATE_STRING: {
    size_t length;
    if (type != LUA_TSTRING) reject(L, at, index, "");
    v->pointer = lua_tolstring(L, index, &length);
    v->integer = (int64_t)length;
    break;
  }
  case GATE_ENUM: {
    size_t length;
    if (type != LUA_TSTRING) reject(L, at, index, "");
    const char *s = lua_tolstring(L, index, &length);
    v->integer = find_name(p, s, length);
    if (v->integer < 0) reject_name(L, at, index, s);
    break;
  }
  case GATE_FLAGS: check_flags(L, at, index, v); break;
  case GATE_OBJECT:
  case GATE_ANY_OBJECT: {
    gate_object *object = gate_to_object(L, index);
    if (!object || (p->kind == GATE_OBJECT && object->type != p->type)) reject(L, at, index, "");
    if (!object->object || object->type->is_live)
      check_live(L, lua_pushfstring(L, "argument '%s'", p->name), at.f->name, object);
    v->pointer = object;
    break;
  }
  case GATE_TABLE:
    if (type != LUA_TTABLE) reject(L, at, index, "");
    break;
  case GATE_FUNCTION:
    if (type != LUA_TFUNCTION) reject(L, at, index, "");
    break;
  default: *v = gate_read(L, index); break;
  }
}

// ---- All arguments ----------------------------------------------------------------------------

static _Noreturn void reject_field(lua_State *L, const gate_function *f, const char *field) {
  const char **names = lua_newuserdatauv(L, sizeof(char *) * (size_t)(f->parameter_count + 1), 0);
  for (int i = 0; i < f->parameter_count; i++) names[i] = f->parameters[i].name;
  int near = gate_nearest(field, names, f->parameter_count);
  if (near >= 0)
    luaL_error(L, "unknown field '%s' in '%s'; did you mean '%s'?", field, f->name, names[near]);
  luaL_Buffer b;
  luaL_buffinit(L, &b);
  for (int i = 0; i < f->parameter_count; i++) {
    if (i > 0) luaL_addstring(&b, ", ");
    luaL_addstring(&b, names[i]);
  }
  luaL_pushresult(&b);
  luaL_error(L, "unknown field '%s' in '%s'; it takes %s", field, f->name, lua_tostring(L, -1));
  abort();
}

// Refuses fields that the declaration does not name. Among several the first by name is reported,
// so that the message does not depend on the order of the table.
static void check_unknown_fields(lua_State *L, const gate_function *f, int table) {
  const char *worst = NULL;
  lua_pushnil(L);
  while (lua_next(L, table)) {
    lua_pop(L, 1);
    if (lua_type(L, -1) != LUA_TSTRING) {
      gate_describe(L, -1);
      luaL_error(L, "'%s' takes named fields, got an entry [%s]; write name = value", f->name,
                 lua_tostring(L, -1));
    }
    const char *field = lua_tostring(L, -1);
    bool known = false;
    for (int i = 0; i < f->parameter_count && !known; i++)
      known = strcmp(f->parameters[i].name, field) == 0;
    if (!known && (!worst || strcmp(field, worst) < 0)) worst = field;
  }
  if (worst) reject_field(L, f, worst);
}

static void check_fields(lua_State *L, const gate_function *f, int first, int count,
                         gate_value *values) {
  // A name alone: guest("vm0") for guest{ name = "vm0" }.
  bool name_alone = count == 1 && lua_type(L, first) == LUA_TSTRING && f->parameter_count > 0
                    && f->parameters[0].kind == GATE_STRING;
  if (name_alone) {
    check_value(L, (place){f, &f->parameters[0], 1}, first, &values[0]);
    for (int i = 1; i < f->parameter_count; i++)
      values[i] = (gate_value){GATE_NIL, first, 0, NULL};
    return;
  }
  if (count > 0 && lua_type(L, first) != LUA_TTABLE && !(lua_isnil(L, first)))
    luaL_error(L, "'%s' takes one table with named fields, as in %s{ %s = … }, got %s", f->name,
               f->name, f->parameter_count ? f->parameters[0].name : "", gate_describe(L, first));
  luaL_checkstack(L, f->parameter_count + 10, "too many fields");
  bool given = count > 0 && lua_istable(L, first);
  if (given) check_unknown_fields(L, f, first);
  for (int i = 0; i < f->parameter_count; i++) {
    if (given) {
      lua_pushstring(L, f->parameters[i].name);
      lua_rawget(L, first);
    } else {
      lua_pushnil(L);
    }
    // The value stays on the stack while the body runs: strings are read in place.
    int slot = lua_gettop(L);
    check_value(L, (place){f, &f->parameters[i], i + 1}, slot, &values[i]);
    lua_settop(L, slot);
  }
}

void gate_check_arguments(lua_State *L, const gate_function *f, int first, int count,
                          gate_value *values) {
  if (f->named) {
    check_fields(L, f, first, count, values);
    return;
  }
  int declared = f->parameter_count;
  for (int i = 0; i < declared; i++) {
    const gate_parameter *p = &f->parameters[i];
    // The common case in two calls of the API instead of four.
    if (p->kind == GATE_INTEGER && lua_isinteger(L, first + i)) {
      lua_Integer n = lua_tointegerx(L, first + i, NULL);
      if (__builtin_expect(n >= p->minimum && n <= p->maximum, 1)) {
        values[i] = (gate_value){GATE_INTEGER, first + i, n, NULL};
        continue;
      }
    }
    check_value(L, (place){f, p, i + 1}, first + i, &values[i]);
  }
  if (count <= declared) return;
  if (declared > 0 && f->parameters[declared - 1].rest) {
    for (int i = declared; i < count; i++)
      check_value(L, (place){f, &f->parameters[declared - 1], i + 1}, first + i, &values[i]);
    return;
  }
  for (int i = declared; i < count; i++)
    if (!lua_isnil(L, first + i))
      luaL_error(L, "too many arguments to '%s' (expected %s%d, got %d)", f->name,
                 declared > 0 && f->parameters[declared - 1].optional ? "at most " : "", declared,
                 count);
}

gate_object *gate_check_self(lua_State *L, const gate_function *f, int index, bool resumed) {
  gate_object *self = gate_to_object(L, index);
  if (__builtin_expect(!self || self->type != f->owner, 0))
    luaL_error(L, "'%s' is a method of %s: write object:%s(…), got %s for the object", f->name,
               f->owner->name, f->name, gate_describe(L, index));
  // What the call itself gave back in an earlier part may be gone.
  if (__builtin_expect((!self->object || self->type->is_live) && !resumed, 0))
    check_live(L, "the object", f->name, self);
  return self;
}
