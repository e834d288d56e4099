internal import LuaBridge
internal import MemoryModel

/// The names that a `gfp` argument accepts.
enum GFP {
  /// `GFP_KERNEL`, `__GFP_MOVABLE`, …: every name that the kernel prints, and `__GFP_DMA`,
  /// `__GFP_DMA32`, which it prints without the underscores.
  static let names: [String] = GFPFlags.names.map(\.name) + ["__GFP_DMA", "__GFP_DMA32"]
  private static let flags: [GFPFlags] = names.map { GFPFlags.named($0) ?? [] }

  static let parameterType = LuaParameterType.flags(names)

  /// The mask of a checked `flags` argument.
  ///
  /// On kernels that have `__GFP_ATOMIC`, GFP_ATOMIC brings it along.
  static func mask(_ set: UInt64, _ kernel: Kernel) throws(LuaFailure) -> GFPFlags {
    var mask: GFPFlags = []
    var rest = set
    while rest != 0 {
      mask.formUnion(flags[rest.trailingZeroBitCount])
      rest &= rest - 1
    }
    if let reason = mask.contradiction {
      throw LuaFailure("bad argument #2 'gfp' to 'alloc_pages' (\(reason))")
    }
    if kernel.hasAtomicBit && mask.isSuperset(of: .atomic) { mask.insert(.atomicBit) }
    return mask
  }
}
