// Host objects: userdata whose payload names a host object by reference, index and generation.
//
// Invariant: `object` holds one retain of the host's reference until it is NULL; it becomes NULL in
// __gc or gate_close_object and nowhere else. A payload is recognised by size and magic, so that
// foreign userdata (files, in an unsafe session) is never read as one.
//
// A type without properties has a table as __index, so that a method is found at the speed of
// plain Lua; only a miss enters C. A type with properties or elements needs a function, because
// Lua does not tell a chained __index which object was asked.
#include "gate_internal.h"

#include <stdlib.h>

gate_object *gate_to_object(lua_State *L, int index) {
  gate_object *object = lua_touserdata(L, index);
  if (!object || lua_rawlen(L, index) != sizeof *object || object->magic != GATE_MAGIC) return NULL;
  return object;
}

static int collect(lua_State *L) {
  gate_object *object = gate_to_object(L, 1);
  if (object && object->object) {
    void *held = object->object;
    object->object = NULL;
    gate_session_of(L)->host.release(held);
  }
  return 0;
}

void gate_close_object(gate_session *s, gate_object *object) {
  if (!object->object) return;
  void *held = object->object;
  object->object = NULL;
  s->host.release(held);
}

// Pushes the object that operations `at` and `at + 1` describe, and claims its retain. The same
// plain host object always gives the same userdata, so that it can key a table.
void gate_push_object(lua_State *L, gate_session *s, size_t at) {
  luaL_checkstack(L, 4, "too many objects");
  const gate_type *type = s->arena.ops[at].pointer;
  gate_op body = s->arena.ops[at + 1];
  bool plain = body.integer == 0 && body.extra == 0;
  lua_rawgetp(L, LUA_REGISTRYINDEX, &gate_key_objects);
  if (plain && lua_rawgetp(L, -1, body.pointer) == LUA_TUSERDATA) {
    gate_object *known = gate_to_object(L, -1);
    if (known && known->type == type && known->object == body.pointer) {
      s->arena.ops[at + 1].pointer = NULL;
      s->arena.object_count--;
      s->host.release((void *)body.pointer);
      lua_remove(L, -2);
      return;
    }
  }
  if (plain) lua_pop(L, 1);
  gate_object *object = lua_newuserdatauv(L, sizeof *object, 0);
  *object = (gate_object){GATE_MAGIC, type, NULL, (uint64_t)body.integer, body.extra, ++s->serial};
  lua_rawgetp(L, LUA_REGISTRYINDEX, type);
  lua_setmetatable(L, -2);
  object->object = (void *)body.pointer;
  s->arena.ops[at + 1].pointer = NULL;
  s->arena.object_count--;
  if (plain) {
    lua_pushvalue(L, -1);
    lua_rawsetp(L, -3, body.pointer);
  }
  lua_remove(L, -2);
}

// ---- Fields -----------------------------------------------------------------------------------

static int raise_unknown(lua_State *L, const gate_type *type, const char *field, bool writing) {
  int total = type->method_count + type->getter_count;
  const char **names = lua_newuserdatauv(L, sizeof(char *) * (size_t)(total + 1), 0);
  int count = 0;
  for (int i = 0; i < type->getter_count; i++) names[count++] = type->getters[i]->name;
  for (int i = 0; i < type->method_count && !writing; i++) names[count++] = type->methods[i]->name;
  if (writing) {
    for (int i = 0; i < type->getter_count; i++)
      if (strcmp(type->getters[i]->name, field) == 0)
        return luaL_error(L, "field '%s' of %s is read-only", field, type->name);
  }
  int near = gate_nearest(field, names, count);
  if (near >= 0)
    return luaL_error(L, "no field '%s' on %s; did you mean '%s'?", field, type->name, names[near]);
  return luaL_error(L, "no field '%s' on %s; %s:help() lists them", field, type->name, type->name);
}

// __index of the methods table of a type without properties. Upvalue: the type.
static int missing_method(lua_State *L) {
  const gate_type *type = lua_touserdata(L, lua_upvalueindex(1));
  return raise_unknown(L, type, luaL_tolstring(L, 2, NULL), false);
}

// __index of a type with properties or elements. Upvalues: type, methods, getters.
static int index_object(lua_State *L) {
  lua_settop(L, 2);
  lua_pushvalue(L, 2);
  if (lua_rawget(L, lua_upvalueindex(2)) != LUA_TNIL) return 1;
  lua_pushvalue(L, 2);
  if (lua_rawget(L, lua_upvalueindex(3)) == LUA_TLIGHTUSERDATA) {
    const gate_function *getter = lua_touserdata(L, -1);
    lua_settop(L, 1);
    return gate_enter(L, getter, 1);
  }
  const gate_type *type = lua_touserdata(L, lua_upvalueindex(1));
  if (type->element && lua_type(L, 2) == LUA_TNUMBER) {
    lua_settop(L, 2);
    return gate_enter(L, type->element, 1);
  }
  return raise_unknown(L, type, luaL_tolstring(L, 2, NULL), false);
}

// __newindex. Upvalues: type, setters.
static int assign_object(lua_State *L) {
  lua_pushvalue(L, 2);
  if (lua_rawget(L, lua_upvalueindex(2)) == LUA_TLIGHTUSERDATA) {
    const gate_function *setter = lua_touserdata(L, -1);
    lua_settop(L, 3);
    lua_remove(L, 2);
    gate_enter(L, setter, 1);
    return 0;
  }
  const gate_type *type = lua_touserdata(L, lua_upvalueindex(1));
  return raise_unknown(L, type, luaL_tolstring(L, 2, NULL), true);
}

// ---- Metamethods ------------------------------------------------------------------------------

static int equal(lua_State *L) {
  gate_object *a = gate_to_object(L, 1), *b = gate_to_object(L, 2);
  if (!a || !b || a->type != b->type) {
    lua_pushboolean(L, false);
    return 1;
  }
  if (a->type->equals) {
    lua_settop(L, 2);
    return gate_enter(L, a->type->equals, 1);
  }
  lua_pushboolean(L, a->object && a->object == b->object && a->index == b->index
                         && a->generation == b->generation);
  return 1;
}

// Display must work for every object, because the prompt and messages use it.
static int display(lua_State *L) {
  gate_object *object = gate_to_object(L, 1);
  if (!object) return luaL_error(L, "not a host object");
  const gate_type *type = object->type;
  if (!object->object)
    lua_pushfstring(L, "closed %s", type->name);
  else if (type->is_live
           && !type->is_live(type->context, object->object, object->index, object->generation))
    lua_pushfstring(L, "stale %s", type->name);
  else if (type->display) {
    lua_settop(L, 1);
    return gate_enter(L, type->display, 1);
  } else
    lua_pushfstring(L, "%s #%I", type->name, (lua_Integer)object->serial);
  return 1;
}

static int close_object(lua_State *L) {
  gate_object *object = gate_to_object(L, 1);
  if (!object || !object->object) return 0;
  lua_settop(L, 1);  // the error that closes the scope is not for the body
  gate_enter(L, object->type->close, 1);
  return 0;
}

// One-argument and two-argument metamethods that pass straight on. Upvalue: the function.
static int pass_one(lua_State *L) {
  lua_settop(L, 1);  // __len is called with a second operand
  return gate_enter(L, lua_touserdata(L, lua_upvalueindex(1)), 1);
}

static void set_meta(lua_State *L, const char *name, lua_CFunction pass, const gate_function *f) {
  lua_pushlightuserdata(L, (void *)f);
  lua_pushcclosure(L, pass, 1);
  lua_setfield(L, -2, name);
}

static void push_names(lua_State *L, const gate_function *const *functions, int count) {
  lua_createtable(L, 0, count);
  for (int i = 0; i < count; i++) {
    lua_pushlightuserdata(L, (void *)functions[i]);
    lua_setfield(L, -2, functions[i]->name);
  }
}

// Makes the type's metatable and stores it in the registry under the type's address.
void gate_push_type(lua_State *L, gate_session *s, const gate_type *type) {
  (void)s;
  luaL_checkstack(L, 10, NULL);
  lua_createtable(L, 0, 12);
  lua_createtable(L, 0, type->method_count);
  for (int i = 0; i < type->method_count; i++) {
    gate_push_function(L, type->methods[i]);
    lua_setfield(L, -2, type->methods[i]->name);
  }
  if (type->getter_count > 0 || type->element) {
    lua_pushlightuserdata(L, (void *)type);
    lua_pushvalue(L, -2);
    push_names(L, type->getters, type->getter_count);
    lua_pushcclosure(L, index_object, 3);
    lua_setfield(L, -3, "__index");
    lua_setfield(L, -2, "methods");
  } else {
    lua_createtable(L, 0, 2);
    lua_pushlightuserdata(L, (void *)type);
    lua_pushcclosure(L, missing_method, 1);
    lua_setfield(L, -2, "__index");
    lua_setmetatable(L, -2);
    lua_setfield(L, -2, "__index");
  }
  lua_pushlightuserdata(L, (void *)type);
  push_names(L, type->setters, type->setter_count);
  lua_pushcclosure(L, assign_object, 2);
  lua_setfield(L, -2, "__newindex");
  gate_set_function(L, "__gc", collect);
  gate_set_function(L, "__eq", equal);
  gate_set_function(L, "__tostring", display);
  if (type->close) gate_set_function(L, "__close", close_object);
  if (type->length) set_meta(L, "__len", pass_one, type->length);
  if (type->less) set_meta(L, "__lt", gate_trampoline, type->less);
  lua_pushstring(L, type->name);
  lua_setfield(L, -2, "__name");
  lua_pushstring(L, type->name);
  lua_setfield(L, -2, "__metatable");
  lua_pushvalue(L, -1);
  lua_rawsetp(L, LUA_REGISTRYINDEX, type);
}
