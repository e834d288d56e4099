// A Lua function held from Swift.
//
// Invariant: the registry slot belongs to this object until it is released; a session that has
// closed has no registry, and then releasing does nothing.

internal import CLuaGate

/// Keeps a Lua function alive while Swift holds it.
///
/// Call it with ``LuaCall/invoke(_:_:)`` from inside a body, or with
/// ``LuaSession/call(_:arguments:)`` from outside.
public final class LuaReference {
  let core: SessionCore
  let slot: Int32

  init(core: SessionCore, slot: Int32) {
    self.core = core
    self.slot = slot
  }

  deinit { unsafe gate_release_reference(core.session, slot) }
}
