// Invariant: what a switch's value means is written at one place, which names the rule; whoever else needs
// it asks there. Nothing compares version numbers. KernelSwitch.all names the switches, KernelPreset.all
// gives them values.

/// The behaviour of one kernel, as named switches (rule A9.2).
public struct Kernel: Sendable, Equatable, Codable {
  /// The name that a user types.
  public var name: String
  /// `uname -r` of the kernel that it was checked against.
  public var release: String
  /// Which block a request takes when the lists of its own type are empty (row o).
  public var fallback: FallbackRegime
  /// Whether an empty upper zone zeroes the reserve that lower zones hold for it (row e, S19).
  public var emptyZoneDropsReserve: Bool
  /// Whether ALLOC_HIGHATOMIC wants `__GFP_HIGH` besides order > 0 (row t, S54).
  public var highAtomicNeedsHigh: Bool
  /// Whether the decay of `pcp->high` frees in pieces of `batch` (S67).
  public var decaysInBatches: Bool

  /// Whether a page's type is always its pageblock's (6.10 and later; rows n, r and the retyping of
  /// merged pageblocks).
  ///
  /// Before, pages remember the list they came from (rule A9.6).
  public var typesFollowPageblocks = true
  /// Per-CPU lists for pageblock-sized blocks (row k, rules A5.3, P2.35): none up to 5.13, one that all
  /// types share in 6.0 to 6.9 (5d0a661d808f), two from 6.10 on (bf14ed81f571).
  var hugeLists = 2
  /// Whether blocks of order 1 to 3 go through the per-CPU lists (5.14 and later, row j).
  public var cachesHighOrders = true
  /// Whether movable requests take CMA first while more than half of what is free is CMA (5.8 and
  /// later, row g, 16867664936e).
  public var takesCMAFirst = true
  /// Whether blocks that are moved or put back go to the head of a list (up to 5.9, row a).
  public var insertsAtHead = false
  /// Whether whole pageblocks merge across types, but for isolated ones (up to 5.17, row p).
  public var mergesAcrossTypes = false
  /// Whether a fallback wakes kswapd even when nothing was boosted (up to 5.9, row q).
  public var wakesWithoutBoost = false
  /// Whether `__GFP_ATOMIC` stands for ALLOC_HARDER (up to 6.2, row t, rule A9.8).
  public var hasHarder = false
  /// Whether a negative number of usable pages passes the first test of order 0 (5.9 to 5.19, row v).
  public var comparesUnsigned = false
  /// Whether non-blocking requests may take HighAtomic blocks last (6.11 and later, rule A3.28).
  public var nonBlockingTakesHighAtomic = true
  /// Whether only free HighAtomic pages are held back, and not all reserved ones (6.12, A4.11).
  public var countsFreeHighAtomic = true

  /// How the per-CPU lists are sized, filled and flushed (rows l and m).
  var perCPULists = PerCPURegime.autoTuned
  /// Whether HighAtomic reserves are limited to a hundredth of the zone, rounded to pageblocks, and
  /// zones of less than a hundred pageblocks have none (6.8 and later, rule A3.29).
  public var limitsHighAtomicStrictly = true

  /// Whether `__GFP_ATOMIC` exists, and alone lets a page go below a mark that only a boost raised
  /// (up to 6.2, rules A9.8, AP.20).
  ///
  /// 6.1.192 has the later rules for everything else.
  public var hasAtomicBit = false

  /// Whether a contiguous allocation whose last test fails says so in the log (up to 5.13, rule P5.16).
  public var logsBusyRanges = false
  /// Whether KVM has guest_memfd (a7800aa80ea4, 6.8, rule P2.2).
  public var hasGuestMemory = true
  /// Whether madvise() knows MADV_NOMOVABLE, MADV_PINNABLE and MADV_MIGHT_PIN, which were proposed and
  /// never merged (rules P9.20, P9.22).
  public var hasMovableAdvice = false
  /// Of a hundred pages with MADV_MIGHT_PIN, those for which the kernel follows the hint (rule P9.22).
  public var mightPinPercent = 100
  /// A kernel parameter that was proposed: nobody borrows from CMA, so its pages stay free until
  /// `cma_alloc()` wants them (rule P9.24).
  public var disablesCMABorrowing = false
  /// Whether the kernel demands pages back from those who pin them; discussed since 2018, never merged
  /// (rules P9.10, P9.11).
  public var revocation = Revocation.off

  /// How it pins for long, and migrates.
  public var pinning = PinningRules()
  /// What keeps tasks from harming each other.
  public var protections = Protections()

  public enum Revocation: String, Sendable, CaseIterable, Codable {
    /// Those who registered a notifier lose their mappings; pins stay.
    case off
    /// `cma_alloc()` and offline ask everybody, and who cannot let go refuses.
    case forced
  }

  public enum PerCPURegime: String, Sendable, CaseIterable, Codable {
    /// Up to 5.13: `high` is six batches, a flush frees one batch from the lists in turn (rule
    /// A5.29).
    case fixed
    /// 5.14 to 6.6: `high` follows the low watermark, flushes double while pages are only freed
    /// (rule A9.7).
    case lowWatermark
    /// 6.7 and later: `high` grows with use and decays (rules A5.5 to A5.16).
    case autoTuned
  }

  public enum FallbackRegime: String, Sendable, CaseIterable, Codable {
    /// F4, 5.0 to 6.9: move blocks to the request's lists and look again, rule A9.5.
    case moveAndRetry
    /// F5, 6.10 to 6.14 and 6.12.0 to 6.12.28: one search, rule A3.25.
    case single
    /// F6, 6.15 and 6.12.29: claim whole pageblocks first, then steal, rules A3.20 to A3.24.
    case claimThenSteal
  }

  /// The reference: Debian 12's and 13's 6.12.117, from which the recordings come.
  public static let v6_12 = Kernel(
    name: "6.12", release: "6.12.117", fallback: .claimThenSteal, emptyZoneDropsReserve: false,
    highAtomicNeedsHigh: true, decaysInBatches: true)

  /// The first 6.12, before the fallback was split in stable.
  public static let v6_12_0 = KernelPreset.kernel("6.12.0")

  /// The last kernel with one list for all huge blocks: seed 002's defect is real here.
  public static let v6_9 = KernelPreset.kernel("6.9")

  /// The long-term kernel of Debian 12, with its stable fixes up to 6.1.192.
  public static let v6_1 = KernelPreset.kernel("6.1")

  /// Every kernel that has a name, oldest first.
  public static let presets: [Kernel] = KernelPreset.all.map(\.kernel)

  /// The kernel of a name, or of the release that it was checked against.
  public static func named(_ name: some StringProtocol) -> Kernel? {
    presets.first { $0.name == name } ?? presets.first { $0.release == name }
  }
}
