import ModelTesting
import Testing

@testable import MemoryModel

/// How memory is asked for: bits, names, contradictions, zones (A2.1 to A2.5, A8.24).
@Suite struct GFPFlagsTests {
  @Test("A2.1, AP.20: the bits of 6.12")
  func bits() {
    let expected: [(GFPFlags, UInt32)] = [
      (.dma, 0x1), (.highMem, 0x2), (.dma32, 0x4), (.movable, 0x8), (.reclaimable, 0x10),
      (.high, 0x20), (.io, 0x40), (.fs, 0x80), (.zero, 0x100), (.directReclaim, 0x400),
      (.kswapdReclaim, 0x800), (.write, 0x1000), (.noWarn, 0x2000), (.retryMayFail, 0x4000),
      (.noFail, 0x8000), (.noRetry, 0x10000), (.memalloc, 0x20000), (.comp, 0x40000),
      (.noMemalloc, 0x80000), (.hardwall, 0x100000), (.thisNode, 0x200000), (.account, 0x400000),
      (.zeroTags, 0x800000),
    ]
    for (flags, bits) in expected { #expect(flags.rawValue == bits) }
  }

  @Test("A2.2: the composites")
  func composites() {
    let expected: [(GFPFlags, UInt32)] = [
      (.atomic, 0x820), (.kernel, 0xCC0), (.noWait, 0x2800), (.noIO, 0xC00), (.noFS, 0xC40),
      (.user, 0x100CC0), (.highUser, 0x100CC2), (.highUserMovable, 0x100CCA),
      (.kernelAccount, 0x400CC0), (.transHugeLight, 0x1C20CA), (.transHuge, 0x1C24CA),
    ]
    for (flags, bits) in expected {
      #expect(flags.rawValue == bits, "0x\(String(bits, radix: 16))")
    }
    // The three requests of the worked numbers.
    #expect(GFPFlags.plain.rawValue == 0x28C0)
    #expect(GFPFlags.plainReclaimable.rawValue == 0x28D0)
    #expect(GFPFlags.plainMovable.rawValue == 0x1028CA)
  }

  @Test("A8.24: the kernel takes a mask apart greedily, largest names first")
  func description() {
    let expected: [(UInt32, String)] = [
      (0, "none"),
      (0xCC0, "GFP_KERNEL"),
      (0x400CC0, "GFP_KERNEL_ACCOUNT"),
      (0x100CCA, "GFP_HIGHUSER_MOVABLE"),
      (0x100CC2, "GFP_HIGHUSER"),
      (0x1C24CA, "GFP_TRANSHUGE"),
      (0x1C20CA, "GFP_TRANSHUGE_LIGHT"),
      (0x1C2CCA, "GFP_TRANSHUGE|__GFP_KSWAPD_RECLAIM"),
      (0x820, "GFP_ATOMIC"),
      (0x2800, "GFP_NOWAIT"),
      (0xC00, "GFP_NOIO"),
      (0xC40, "GFP_NOFS"),
      (0xC80, "GFP_NOIO|__GFP_FS"),
      (0x1, "GFP_DMA"),
      (0x4, "GFP_DMA32"),
      (0x2, "__GFP_HIGHMEM"),
      (0x20, "__GFP_HIGH"),
      (0xCC1, "GFP_KERNEL|GFP_DMA"),
      (0xDC0, "GFP_KERNEL|__GFP_ZERO"),
      (0x440DC0, "GFP_KERNEL_ACCOUNT|__GFP_COMP|__GFP_ZERO"),
      (0x152CC0, "GFP_USER|__GFP_NOWARN|__GFP_NORETRY|__GFP_COMP"),
      (0x28C0, "GFP_NOWAIT|__GFP_IO|__GFP_FS"),
      (0x1028CA, "GFP_NOWAIT|__GFP_HIGHMEM|__GFP_IO|__GFP_FS|__GFP_HARDWALL|__GFP_MOVABLE"),
      (0x400, "__GFP_DIRECT_RECLAIM"),
      (0x800, "__GFP_KSWAPD_RECLAIM"),
      (0x18, "__GFP_RECLAIMABLE|__GFP_MOVABLE"),
      (0x1000200, "0x1000200"),
      (0x1000CC0, "GFP_KERNEL|0x1000000"),
    ]
    for (bits, text) in expected { #expect(GFPFlags(rawValue: bits).description == text) }
  }

  @Test("A8.24: every printed name is read back as the bits that it stands for")
  func roundTrip() {
    for (name, flags) in GFPFlags.names {
      #expect(GFPFlags.named(name) == flags, "\(name)")
      // __GFP_RECLAIM is what the kernel prints as GFP_NOIO, too.
      #expect(flags.description == (name == "__GFP_RECLAIM" ? "GFP_NOIO" : name))
    }
    var random = SplitMix64(seed: 24)
    for _ in 0..<2000 {
      let flags = GFPFlags(rawValue: UInt32(truncatingIfNeeded: random.next()) & 0xFFFDFF)
      var back: GFPFlags = []
      for name in flags.description.split(separator: "|") where name != "none" {
        back.formUnion(GFPFlags.named(name) ?? GFPFlags(rawValue: 1 << 31))
      }
      #expect(back == flags, "\(flags.description)")
    }
    #expect(GFPFlags.named("__GFP_DMA") == .dma)
    #expect(GFPFlags.named("__GFP_DMA32") == .dma32)
    #expect(GFPFlags.named("GFP_NONSENSE") == nil)
    #expect(GFPFlags.named("gfp_kernel") == nil)
    #expect(GFPFlags.named("") == nil)
  }

  @Test("A2.3, AP.17: the zone table of the low four bits")
  func zones() {
    let table: [(UInt32, ZoneIndex?)] = [
      (0x0, .normal), (0x1, .dma), (0x2, .normal), (0x3, nil), (0x4, .dma32), (0x5, nil),
      (0x6, nil), (0x7, nil), (0x8, .normal), (0x9, .dma), (0xA, .movable), (0xB, nil),
      (0xC, .dma32), (0xD, nil), (0xE, nil), (0xF, nil),
    ]
    for (bits, zone) in table {
      for other: GFPFlags in [[], .kernel, .atomic] {
        let flags = other.union(GFPFlags(rawValue: bits))
        if let zone {
          #expect(flags.contradiction == nil, "\(flags.description)")
          #expect(flags.highestZone == zone, "\(flags.description)")
        } else {
          #expect(flags.contradiction != nil, "\(flags.description)")
        }
      }
    }
  }

  @Test("A2.3, A2.4: what no kernel accepts, in words")
  func contradictions() {
    #expect(
      GFPFlags([.kernel, .movable, .reclaimable]).contradiction
        == "__GFP_MOVABLE and __GFP_RECLAIMABLE exclude each other (rule A2.4)")
    #expect(
      GFPFlags([.kernel, .dma, .dma32]).contradiction
        == "GFP_DMA|GFP_DMA32 names more than one zone; keep one of __GFP_DMA, GFP_DMA32, "
        + "__GFP_HIGHMEM (rule A2.3)")
    #expect(GFPFlags.highUserMovable.contradiction == nil)
  }
}
