// find, match, gmatch and gsub with the semantics of Lua 5.4 patterns, interruptible.
//
// The stock matcher backtracks inside one C call that no hook reaches: ("a?")^28 ("a")^28 on 28
// letters takes 15 seconds. This one compiles a pattern to a row of nodes and polls while it runs.
//
// Invariants: nodes stand in pattern order, and a pattern has no alternatives, so which captures
// are open or closed at a node is known when it is compiled. Only a repetition with choices calls
// itself, for the nodes after it: the depth is bounded by the number of nodes, and that by
// `deepest`, past which a pattern is refused as too complex. A malformed part becomes a node that
// raises when it is reached, because stock Lua complains then and not earlier.
#include "gate_internal.h"

#include <ctype.h>
#include <pthread.h>
#include <stdlib.h>

enum { deepest = 200, most_captures = 32 };

typedef enum node_kind {
  node_set,        // one byte out of a set
  node_open,       // starts capture `capture`
  node_close,      // ends it
  node_position,   // captures the position
  node_back,       // the text of capture `capture` again
  node_balance,    // %bxy
  node_frontier,   // %f[set]
  node_end,        // $ at the end of the pattern
  node_error,
  node_success,
} node_kind;

typedef enum repeat { once, optional, star, plus, lazy } repeat;

typedef struct node {
  uint8_t kind, repeat, capture;
  unsigned char x, y;    // balance
  const char *message;   // error
  uint64_t set[4];       // bit per byte
} node;

// The captures that exist once all nodes before one have matched.
typedef struct capture {
  const char *start;
  ptrdiff_t length;      // or one of the two below
} capture;

enum { unfinished = -1, position = -2 };

typedef struct matcher {
  lua_State *L;
  const char *subject, *end;
  const node *nodes;
  int capture_count;     // in the whole pattern; 0 means the whole match
  capture captures[most_captures];
  uint32_t steps;
} matcher;

static inline bool contains(const node *n, unsigned char c) { return n->set[c >> 6] >> (c & 63) & 1; }
static inline void include(node *n, int c) { n->set[c >> 6] |= UINT64_C(1) << (c & 63); }

// ---- Compiling --------------------------------------------------------------------------------

// The sets of the classes a, c, d, g, l, p, s, u, w and x in that order. Made once: asking the C
// library about 256 bytes for each %w cost 500 ns.
static const char class_letters[] = "acdglpsuwx";
static uint64_t class_sets[10][4];
static pthread_once_t classes_made = PTHREAD_ONCE_INIT;

static void make_classes(void) {
  static int (*const tests[])(int) = {isalpha, iscntrl, isdigit, isgraph, islower,
                                      ispunct, isspace, isupper, isalnum, isxdigit};
  for (int i = 0; i < 10; i++)
    for (int c = 0; c < 256; c++)
      if (tests[i](c)) class_sets[i][c >> 6] |= UINT64_C(1) << (c & 63);
}

// Adds the bytes of class %c. A letter that names no class stands for itself.
static void include_class(node *n, unsigned char letter) {
  unsigned char lower = letter >= 'A' && letter <= 'Z' ? letter + 32 : letter;
  const char *found = lower ? strchr(class_letters, lower) : NULL;
  if (!found) {
    include(n, letter);
    return;
  }
  uint64_t flip = lower != letter ? UINT64_MAX : 0;
  for (int i = 0; i < 4; i++) n->set[i] |= class_sets[found - class_letters][i] ^ flip;
}

// Compiles the set that starts after '['. Returns the place after ']', or NULL when it is missing.
static const char *compile_set(node *n, const char *p, const char *end) {
  bool inverse = p < end && *p == '^';
  if (inverse) p++;
  // Find the closing bracket first: a range needs to know whether its end lies inside. The first
  // character is never the closing one.
  const char *close = p;
  do {
    if (close >= end) return NULL;
    if (*close++ == '%') {
      if (close >= end) return NULL;
      close++;
    }
    if (close >= end) return NULL;
  } while (*close != ']');
  while (p < close) {
    if (*p == '%') {
      include_class(n, (unsigned char)p[1]);
      p += 2;
    } else if (close - p > 2 && p[1] == '-') {
      for (int c = (unsigned char)p[0]; c <= (unsigned char)p[2]; c++) include(n, c);
      p += 3;
    } else {
      include(n, (unsigned char)*p++);
    }
  }
  if (inverse)
    for (int i = 0; i < 4; i++) n->set[i] = ~n->set[i];
  return close + 1;
}

static void fail(node *n, const char *message) {
  n->kind = node_error;
  n->message = message;
}

// Compiles one item at p, except a following repetition. Returns the place after it, or NULL after
// an error node.
static const char *compile_single(node *n, const char *p, const char *end) {
  n->kind = node_set;
  unsigned char c = (unsigned char)*p++;
  if (c == '.') {
    memset(n->set, 0xff, sizeof n->set);
  } else if (c == '[') {
    p = compile_set(n, p, end);
    if (!p) fail(n, "malformed pattern (missing ']')");
  } else if (c == '%') {
    if (p >= end) {
      fail(n, "malformed pattern (ends with '%')");
      return NULL;
    }
    include_class(n, (unsigned char)*p++);
  } else {
    include(n, c);
  }
  return p;
}

typedef struct compiler {
  int open[most_captures];   // stack of open captures
  int open_count, count;
  bool closed[most_captures];
} compiler;

// Compiles the escapes that are more than a class. NULL when it is only a class.
static const char *compile_special(compiler *c, node *n, const char *p, const char *end) {
  if (p + 1 >= end) return NULL;
  char letter = p[1];
  if (letter == 'b') {
    n->kind = node_balance;
    if (end - p < 4) {
      fail(n, "malformed pattern (missing arguments to '%b')");
      return end;
    }
    n->x = (unsigned char)p[2];
    n->y = (unsigned char)p[3];
    return p + 4;
  }
  if (letter == 'f') {
    n->kind = node_frontier;
    p += 2;
    if (p >= end || *p != '[') {
      fail(n, "missing '[' after '%f' in pattern");
      return end;
    }
    p = compile_set(n, p + 1, end);
    if (!p) {
      fail(n, "malformed pattern (missing ']')");
      return end;
    }
    return p;
  }
  if (letter >= '0' && letter <= '9') {
    n->kind = node_back;
    int index = letter - '1';
    n->capture = (uint8_t)(index < 0 ? 0 : index);
    if (index < 0 || index >= c->count || !c->closed[index]) {
      n->kind = node_error;
      n->capture = (uint8_t)(index + 1);
      n->message = "invalid capture index";
      return end;
    }
    return p + 2;
  }
  return NULL;
}

static const char *compile_capture(compiler *c, node *n, const char *p, const char *end) {
  if (*p == '(') {
    bool here = p + 1 < end && p[1] == ')';
    if (c->count >= most_captures) {
      fail(n, "too many captures");
      return end;
    }
    n->kind = here ? node_position : node_open;
    n->capture = (uint8_t)c->count;
    c->closed[c->count] = here;
    if (!here) c->open[c->open_count++] = c->count;
    c->count++;
    return p + (here ? 2 : 1);
  }
  if (c->open_count == 0) {
    fail(n, "invalid pattern capture");
    return end;
  }
  n->kind = node_close;
  n->capture = (uint8_t)c->open[--c->open_count];
  c->closed[n->capture] = true;
  return p + 1;
}

// Fills `nodes`, which has room for length + 1. Returns the number of captures.
static int compile(node *nodes, const char *p, const char *end) {
  compiler c = {.count = 0};
  node *n = nodes;
  while (p < end) {
    memset(n, 0, sizeof *n);
    const char *after = NULL;
    if (*p == '(' || *p == ')')
      after = compile_capture(&c, n, p, end);
    else if (*p == '$' && p + 1 == end) {
      n->kind = node_end;
      after = end;
    } else if (*p == '%')
      after = compile_special(&c, n, p, end);
    if (!after) {
      after = compile_single(n, p, end);
      if (after && after < end) {
        char mark = *after;
        n->repeat = mark == '?' ? optional : mark == '*' ? star : mark == '+' ? plus
                    : mark == '-' ? lazy : once;
        if (n->repeat != once) after++;
      }
    }
    if (n->kind == node_error) after = end;
    p = after;
    n++;
  }
  memset(n, 0, sizeof *n);
  n->kind = node_success;
  return c.count;
}

// ---- Matching ---------------------------------------------------------------------------------

static inline void tick(matcher *m) {
  if (__builtin_expect((++m->steps & 1023) == 0, 0)) gate_poll(m->L);
}

static _Noreturn void raise_malformed(matcher *m, const node *n) {
  if (strncmp(n->message, "invalid capture index", 21) == 0)
    luaL_error(m->L, "invalid capture index %%%d", n->capture);
  luaL_error(m->L, "%s", n->message);
  abort();
}

static const char *match_balance(matcher *m, const node *n, const char *s) {
  if (s >= m->end || (unsigned char)*s != n->x) return NULL;
  for (ptrdiff_t depth = 1; ++s < m->end;) {
    unsigned char c = (unsigned char)*s;
    tick(m);
    if (c == n->y) {
      if (--depth == 0) return s + 1;
    } else if (c == n->x) {
      depth++;
    }
  }
  return NULL;
}

static bool at_frontier(matcher *m, const node *n, const char *s) {
  unsigned char before = s == m->subject ? 0 : (unsigned char)s[-1];
  unsigned char here = s == m->end ? 0 : (unsigned char)*s;
  return !contains(n, before) && contains(n, here);
}

// Where the nodes from n on stop matching at s, or NULL.
static const char *match(matcher *m, const node *n, const char *s, int depth) {
  if (depth == 0) luaL_error(m->L, "pattern too complex");
  for (;; n++) {
    tick(m);
    switch (n->kind) {
    case node_success: return s;
    case node_error: raise_malformed(m, n);
    case node_end:
      if (s != m->end) return NULL;
      continue;
    case node_frontier:
      if (!at_frontier(m, n, s)) return NULL;
      continue;
    case node_balance:
      s = match_balance(m, n, s);
      if (!s) return NULL;
      continue;
    case node_back: {
      capture *c = &m->captures[n->capture];
      // A position captured has no text; stock Lua compares its marker as a length and so never
      // matches.
      if (c->length < 0 || m->end - s < c->length
          || memcmp(s, c->start, (size_t)c->length) != 0)
        return NULL;
      s += c->length;
      continue;
    }
    // Captures need no undoing: a node before which a capture is not set never reads it, and a
    // retry of an earlier choice sets it again on its way here.
    case node_position: m->captures[n->capture] = (capture){s, position}; continue;
    case node_open: m->captures[n->capture] = (capture){s, unfinished}; continue;
    case node_close:
      m->captures[n->capture].length = s - m->captures[n->capture].start;
      continue;
    case node_set: break;
    }
    switch (n->repeat) {
    case once:
      if (s >= m->end || !contains(n, (unsigned char)*s)) return NULL;
      s++;
      continue;
    case optional:
      if (s < m->end && contains(n, (unsigned char)*s)) {
        const char *rest = match(m, n + 1, s + 1, depth - 1);
        if (rest) return rest;
      }
      continue;
    case lazy:
      for (;;) {
        tick(m);
        const char *rest = match(m, n + 1, s, depth - 1);
        if (rest) return rest;
        if (s >= m->end || !contains(n, (unsigned char)*s)) return NULL;
        s++;
      }
    default: {
      const char *least = s + (n->repeat == plus);
      while (s < m->end && contains(n, (unsigned char)*s)) {
        s++;
        tick(m);
      }
      if (s < least) return NULL;
      for (; s >= least; s--) {
        const char *rest = match(m, n + 1, s, depth - 1);
        if (rest) return rest;
      }
      return NULL;
    }
    }
  }
}

static const char *match_at(matcher *m, const char *s) { return match(m, m->nodes, s, deepest); }

// ---- Captures ---------------------------------------------------------------------------------

static void push_capture(matcher *m, int index, const char *s, const char *e) {
  if (index >= m->capture_count) {
    if (index != 0) luaL_error(m->L, "invalid capture index %%%d", index + 1);
    lua_pushlstring(m->L, s, (size_t)(e - s));
    return;
  }
  capture *c = &m->captures[index];
  if (c->length == unfinished) luaL_error(m->L, "unfinished capture");
  if (c->length == position) lua_pushinteger(m->L, c->start - m->subject + 1);
  else lua_pushlstring(m->L, c->start, (size_t)c->length);
}

// Pushes all captures; the whole match when there are none and `whole` asks for it.
static int push_captures(matcher *m, const char *s, const char *e, bool whole) {
  int count = m->capture_count == 0 && whole ? 1 : m->capture_count;
  luaL_checkstack(m->L, count, "too many captures");
  for (int i = 0; i < count; i++) push_capture(m, i, s, e);
  return count;
}

static void prepare(matcher *m, lua_State *L, const char *s, size_t length, node *nodes,
                    const char *p, size_t pattern_length) {
  m->L = L;
  m->subject = s;
  m->end = s + length;
  m->nodes = nodes;
  m->steps = 0;
  m->capture_count = compile(nodes, p, p + pattern_length);
}

// Short patterns compile into the caller's frame, long ones into a userdata left on the stack.
enum { short_pattern = 24 };
static node *room_for(lua_State *L, node *here, size_t pattern_length) {
  if (pattern_length <= short_pattern) return here;
  return lua_newuserdatauv(L, (pattern_length + 1) * sizeof(node), 0);
}

// ---- Library ----------------------------------------------------------------------------------

static size_t start_of(lua_State *L, int index, size_t length) {
  lua_Integer at = luaL_optinteger(L, index, 1);
  if (at > 0) return (size_t)at - 1;
  if (at == 0 || (size_t)-at > length || at < -(lua_Integer)length) return 0;
  return length - (size_t)-at;
}

static bool is_plain(const char *p, size_t length) {
  for (size_t i = 0; i < length; i++)
    if (strchr("^$*+?.([%-", p[i]) && p[i] != '\0') return false;
  return true;
}

static const char *find_plain(lua_State *L, const char *s, size_t length, const char *p,
                              size_t pattern_length) {
  if (pattern_length == 0) return s;
  const char *end = s + length;
  uint32_t steps = 0;
  while ((size_t)(end - s) >= pattern_length) {
    s = memchr(s, *p, (size_t)(end - s) - pattern_length + 1);
    if (!s) return NULL;
    if (memcmp(s, p, pattern_length) == 0) return s;
    s++;
    if ((++steps & 1023) == 0) gate_poll(L);
  }
  return NULL;
}

static int find_or_match(lua_State *L, bool find) {
  size_t length, pattern_length;
  const char *s = luaL_checklstring(L, 1, &length), *p = luaL_checklstring(L, 2, &pattern_length);
  size_t start = start_of(L, 3, length);
  if (start > length) {
    luaL_pushfail(L);
    return 1;
  }
  if (find && (lua_toboolean(L, 4) || is_plain(p, pattern_length))) {
    const char *at = find_plain(L, s + start, length - start, p, pattern_length);
    if (!at) {
      luaL_pushfail(L);
      return 1;
    }
    lua_pushinteger(L, at - s + 1);
    lua_pushinteger(L, at - s + (lua_Integer)pattern_length);
    return 2;
  }
  bool anchored = pattern_length > 0 && *p == '^';
  if (anchored) {
    p++;
    pattern_length--;
  }
  node here[short_pattern + 1];
  matcher m;
  prepare(&m, L, s, length, room_for(L, here, pattern_length), p, pattern_length);
  const char *from = s + start;
  do {
    const char *e = match_at(&m, from);
    if (e) {
      if (!find) return push_captures(&m, from, e, true);
      lua_pushinteger(L, from - s + 1);
      lua_pushinteger(L, e - s);
      return push_captures(&m, from, e, false) + 2;
    }
  } while (from++ < m.end && !anchored);
  luaL_pushfail(L);
  return 1;
}

static int find(lua_State *L) { return find_or_match(L, true); }
static int match_function(lua_State *L) { return find_or_match(L, false); }

// Upvalues: subject, pattern, place of the next try, end of the last match (-1 before the first).
static int gmatch_step(lua_State *L) {
  size_t length, pattern_length;
  const char *s = lua_tolstring(L, lua_upvalueindex(1), &length);
  const char *p = lua_tolstring(L, lua_upvalueindex(2), &pattern_length);
  lua_Integer last = lua_tointeger(L, lua_upvalueindex(4));
  node here[short_pattern + 1];
  matcher m;
  prepare(&m, L, s, length, room_for(L, here, pattern_length), p, pattern_length);
  for (lua_Integer at = lua_tointeger(L, lua_upvalueindex(3)); at <= (lua_Integer)length; at++) {
    const char *e = match_at(&m, s + at);
    if (e && e - s != last) {
      lua_pushinteger(L, e - s);
      lua_pushvalue(L, -1);
      lua_replace(L, lua_upvalueindex(3));
      lua_replace(L, lua_upvalueindex(4));
      return push_captures(&m, s + at, e, true);
    }
  }
  lua_pushinteger(L, (lua_Integer)length + 1);
  lua_replace(L, lua_upvalueindex(3));
  return 0;
}

static int gmatch(lua_State *L) {
  size_t length;
  luaL_checklstring(L, 1, &length);
  luaL_checkstring(L, 2);
  size_t start = start_of(L, 3, length);
  if (start > length) start = length + 1;
  lua_settop(L, 2);
  lua_pushinteger(L, (lua_Integer)start);
  lua_pushinteger(L, -1);
  lua_pushcclosure(L, gmatch_step, 4);
  return 1;
}

// ---- gsub -------------------------------------------------------------------------------------

static void add_template(matcher *m, luaL_Buffer *b, const char *s, const char *e) {
  lua_State *L = m->L;
  size_t length;
  const char *t = lua_tolstring(L, 3, &length), *end = t + length;
  while (t < end) {
    const char *escape = memchr(t, '%', (size_t)(end - t));
    const char *stop = escape ? escape : end;
    luaL_addlstring(b, t, (size_t)(stop - t));
    if (!escape) return;
    unsigned char c = escape + 1 < end ? (unsigned char)escape[1] : 0;
    if (c == '%') {
      luaL_addchar(b, '%');
    } else if (c == '0') {
      luaL_addlstring(b, s, (size_t)(e - s));
    } else if (isdigit(c)) {
      push_capture(m, c - '1', s, e);
      luaL_tolstring(L, -1, NULL);
      lua_remove(L, -2);
      luaL_addvalue(b);
    } else {
      luaL_error(L, "invalid use of '%%' in replacement string");
    }
    t = escape + 2;
  }
}

// Adds what replaces the match [s, e). False when the text stays as it was.
static bool add_replacement(matcher *m, luaL_Buffer *b, const char *s, const char *e, int kind) {
  lua_State *L = m->L;
  if (kind == LUA_TFUNCTION) {
    lua_pushvalue(L, 3);
    lua_call(L, push_captures(m, s, e, true), 1);
  } else if (kind == LUA_TTABLE) {
    push_capture(m, 0, s, e);
    lua_gettable(L, 3);
  } else {
    add_template(m, b, s, e);
    return true;
  }
  if (!lua_toboolean(L, -1)) {
    lua_pop(L, 1);
    luaL_addlstring(b, s, (size_t)(e - s));
    return false;
  }
  if (!lua_isstring(L, -1))
    luaL_error(L, "invalid replacement value (a %s)", luaL_typename(L, -1));
  luaL_addvalue(b);
  return true;
}

static int gsub(lua_State *L) {
  size_t length, pattern_length;
  const char *s = luaL_checklstring(L, 1, &length), *p = luaL_checklstring(L, 2, &pattern_length);
  int kind = lua_type(L, 3);
  lua_Integer most = luaL_optinteger(L, 4, (lua_Integer)length + 1), count = 0;
  luaL_argexpected(L, kind == LUA_TNUMBER || kind == LUA_TSTRING || kind == LUA_TFUNCTION
                        || kind == LUA_TTABLE, 3, "string/function/table");
  gate_check_stack(L, gate_session_of(L));
  bool anchored = pattern_length > 0 && *p == '^', changed = false;
  if (anchored) {
    p++;
    pattern_length--;
  }
  node here[short_pattern + 1];
  matcher m;
  prepare(&m, L, s, length, room_for(L, here, pattern_length), p, pattern_length);
  luaL_Buffer b;
  luaL_buffinit(L, &b);
  const char *at = s, *last = NULL;
  while (count < most) {
    const char *e = match_at(&m, at);
    if (e && e != last) {
      count++;
      changed |= add_replacement(&m, &b, at, e, kind);
      at = last = e;
    } else if (at < m.end) {
      luaL_addchar(&b, *at++);
    } else {
      break;
    }
    if (anchored) break;
  }
  if (changed) {
    luaL_addlstring(&b, at, (size_t)(m.end - at));
    luaL_pushresult(&b);
  } else {
    lua_pushvalue(L, 1);
  }
  lua_pushinteger(L, count);
  return 2;
}

void gate_open_pattern(lua_State *L) {
  pthread_once(&classes_made, make_classes);
  lua_getglobal(L, "string");
  gate_set_function(L, "find", find);
  gate_set_function(L, "match", match_function);
  gate_set_function(L, "gmatch", gmatch);
  gate_set_function(L, "gsub", gsub);
  lua_pop(L, 1);
}
