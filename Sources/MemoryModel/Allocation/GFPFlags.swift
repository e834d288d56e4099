/// How memory is asked for: `gfp_t`, with the bits of 6.12 on x86_64 (rules A2.1, A2.2).
public struct GFPFlags: OptionSet, Hashable, Sendable, BitwiseCopyable, Codable {
  public let rawValue: UInt32

  public init(rawValue: UInt32) { self.rawValue = rawValue }

  public static let dma = GFPFlags(rawValue: 0x1)
  public static let highMem = GFPFlags(rawValue: 0x2)
  public static let dma32 = GFPFlags(rawValue: 0x4)
  public static let movable = GFPFlags(rawValue: 0x8)
  public static let reclaimable = GFPFlags(rawValue: 0x10)
  public static let high = GFPFlags(rawValue: 0x20)
  public static let io = GFPFlags(rawValue: 0x40)
  public static let fs = GFPFlags(rawValue: 0x80)
  public static let zero = GFPFlags(rawValue: 0x100)
  /// Up to 6.2 only, see ``Kernel/hasAtomicBit``.
  public static let atomicBit = GFPFlags(rawValue: 0x200)
  public static let directReclaim = GFPFlags(rawValue: 0x400)
  public static let kswapdReclaim = GFPFlags(rawValue: 0x800)
  public static let write = GFPFlags(rawValue: 0x1000)
  public static let noWarn = GFPFlags(rawValue: 0x2000)
  public static let retryMayFail = GFPFlags(rawValue: 0x4000)
  public static let noFail = GFPFlags(rawValue: 0x8000)
  public static let noRetry = GFPFlags(rawValue: 0x10000)
  public static let memalloc = GFPFlags(rawValue: 0x20000)
  public static let comp = GFPFlags(rawValue: 0x40000)
  public static let noMemalloc = GFPFlags(rawValue: 0x80000)
  public static let hardwall = GFPFlags(rawValue: 0x100000)
  public static let thisNode = GFPFlags(rawValue: 0x200000)
  public static let account = GFPFlags(rawValue: 0x400000)
  public static let zeroTags = GFPFlags(rawValue: 0x800000)

  public static let reclaim: GFPFlags = [.directReclaim, .kswapdReclaim]
  public static let atomic: GFPFlags = [.high, .kswapdReclaim]
  public static let kernel: GFPFlags = [.directReclaim, .kswapdReclaim, .io, .fs]
  public static let kernelAccount: GFPFlags = [.kernel, .account]
  public static let noWait: GFPFlags = [.kswapdReclaim, .noWarn]
  public static let noIO: GFPFlags = .reclaim
  public static let noFS: GFPFlags = [.directReclaim, .kswapdReclaim, .io]
  public static let user: GFPFlags = [.kernel, .hardwall]
  public static let highUser: GFPFlags = [.user, .highMem]
  public static let highUserMovable: GFPFlags = [.highUser, .movable]
  public static let transHugeLight = GFPFlags(
    [.highUserMovable, .comp, .noMemalloc, .noWarn]
  ).subtracting(.reclaim)
  public static let transHuge: GFPFlags = [.transHugeLight, .directReclaim]
}

extension GFPFlags {
  /// Every name with its bits, in the order in which the kernel takes a mask apart (rule A8.24).
  ///
  /// Kernel: `__def_gfpflag_names`, include/trace/events/mmflags.h.
  public static let names: [(name: String, flags: GFPFlags)] = [
    ("GFP_TRANSHUGE", .transHuge), ("GFP_TRANSHUGE_LIGHT", .transHugeLight),
    ("GFP_HIGHUSER_MOVABLE", .highUserMovable), ("GFP_HIGHUSER", .highUser), ("GFP_USER", .user),
    ("GFP_KERNEL_ACCOUNT", .kernelAccount), ("GFP_KERNEL", .kernel), ("GFP_NOFS", .noFS),
    ("GFP_ATOMIC", .atomic), ("GFP_NOIO", .noIO), ("GFP_NOWAIT", .noWait), ("GFP_DMA", .dma),
    ("__GFP_HIGHMEM", .highMem), ("GFP_DMA32", .dma32), ("__GFP_HIGH", .high), ("__GFP_IO", .io),
    ("__GFP_FS", .fs), ("__GFP_NOWARN", .noWarn), ("__GFP_RETRY_MAYFAIL", .retryMayFail),
    ("__GFP_NOFAIL", .noFail), ("__GFP_NORETRY", .noRetry), ("__GFP_COMP", .comp),
    ("__GFP_ZERO", .zero), ("__GFP_NOMEMALLOC", .noMemalloc), ("__GFP_MEMALLOC", .memalloc),
    ("__GFP_HARDWALL", .hardwall), ("__GFP_THISNODE", .thisNode),
    ("__GFP_RECLAIMABLE", .reclaimable), ("__GFP_MOVABLE", .movable), ("__GFP_ACCOUNT", .account),
    ("__GFP_WRITE", .write), ("__GFP_RECLAIM", .reclaim),
    ("__GFP_DIRECT_RECLAIM", .directReclaim), ("__GFP_KSWAPD_RECLAIM", .kswapdReclaim),
    ("__GFP_ZEROTAGS", .zeroTags),
  ]

  /// Names that are read but never printed: the kernel prints `__GFP_DMA` as `GFP_DMA`.
  private static let aliases: [(name: String, flags: GFPFlags)] = [
    ("__GFP_DMA", .dma), ("__GFP_DMA32", .dma32),
  ]

  /// The flags of a kernel name such as `GFP_KERNEL` or `__GFP_NOWARN`.
  public static func named(_ name: some StringProtocol) -> GFPFlags? {
    (names.first { $0.name == name } ?? aliases.first { $0.name == name })?.flags
  }

  /// What traces and failure messages print: names joined by `|`, leftovers in hex.
  public var description: String {
    if isEmpty { return "none" }
    var rest = self
    var parts: [String] = []
    for (name, flags) in Self.names where rest.isSuperset(of: flags) {
      parts.append(name)
      rest.subtract(flags)
    }
    if !rest.isEmpty { parts.append("0x" + String(rest.rawValue, radix: 16)) }
    return parts.joined(separator: "|")
  }
}

extension GFPFlags {
  /// Why no kernel accepts these flags, or nil.
  ///
  /// Kernel: `GFP_ZONE_BAD` and the check in `gfp_migratetype()`; rules A2.3, A2.4.
  public var contradiction: String? {
    if isSuperset(of: [.movable, .reclaimable]) {
      return "__GFP_MOVABLE and __GFP_RECLAIMABLE exclude each other (rule A2.4)"
    }
    let zones: GFPFlags = [.dma, .highMem, .dma32]
    let named = intersection(zones)
    if named.rawValue.nonzeroBitCount > 1 {
      return "\(named.description) names more than one zone; keep one of __GFP_DMA, GFP_DMA32, "
        + "__GFP_HIGHMEM (rule A2.3)"
    }
    return nil
  }

  /// The highest zone that may serve the request (rule A2.3).
  ///
  /// Kernel: `gfp_zone()`.
  var highestZone: ZoneIndex {
    if contains(.dma) { return .dma }
    if contains(.dma32) { return .dma32 }
    return isSuperset(of: [.movable, .highMem]) ? .movable : .normal
  }
}
