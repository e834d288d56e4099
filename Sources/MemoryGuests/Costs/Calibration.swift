public import MemoryModel

/// What the counted steps of a pin cost, for an estimate in nanoseconds.
///
/// Instructions are those of 6.12.117 under an emulator that counts them; a nanosecond was set
/// against them on hardware with 6.18, whose pin of 4 KiB and of 2 MiB pages both come to the same
/// rate. Cache misses of a real machine are in that rate as far as that hardware had them.
public struct Calibration: Sendable {
  /// Instructions of one kind of step.
  public struct Walk: Sendable {
    public var perWalk: Double
    public var perEntryRead: Double
    public var perAtomic: Double
    public var perArrayWrite: Double
    /// The test whether a folio may stay.
    public var perLookup: Double
  }

  public var source: String
  public var slow: Walk
  public var fast: Walk
  public var perRescanRead: Double
  public var perUnpinAtomic: Double
  public var nanosecondsPerInstruction: Double
  /// Of a fault, without clearing memory, and for clearing 4 KiB.
  public var nanosecondsPerFault: Double
  public var nanosecondsPerClearedPage: Double
  /// Moving one page of 4 KiB, faults and copies included.
  public var instructionsPerMigratedPage: Double

  /// The table that the estimates use.
  ///
  /// From these measured instructions a page (64 MiB to 8 GiB agree within 1 %): slow pin of 4 KiB
  /// pages 420, long-term 501; of 2 MiB pages 5.8 and 16.9; fast pin of 4 KiB pages 195 and 253, of
  /// 2 MiB pages 10.4 and 10.5; unpin 95 and 11.2; long-term pin that migrates 4 KiB pages 9155.
  /// Nanoseconds a page, hardware with 6.18: long-term pin 70 (4 KiB) and 3.3 (2 MiB), first touch
  /// 1200 and 170.
  public static let linux6_12 = Calibration(
    source: "instructions counted on 6.12.117; 0.28 ns each, as 6.18 took on a cloud machine",
    slow: Walk(
      perWalk: 394.8, perEntryRead: 0, perAtomic: 20, perArrayWrite: 4.8, perLookup: 70),
    fast: Walk(
      perWalk: 0, perEntryRead: 48, perAtomic: 20, perArrayWrite: 10.2, perLookup: 58),
    perRescanRead: 11.1, perUnpinAtomic: 95, nanosecondsPerInstruction: 0.28,
    nanosecondsPerFault: 1030, nanosecondsPerClearedPage: 170, instructionsPerMigratedPage: 8060)

  /// Nanoseconds of a call that did this, rounded.
  ///
  /// - Parameter pages: How many pages the call returned; tells small faults from huge ones.
  public func estimate(_ costs: OperationCosts, pages: Int, isFast: Bool) -> Int {
    let walk = isFast ? fast : slow
    var instructions = 0.0
    instructions += Double(costs.walks) * slow.perWalk
    // The slow walk's entry reads are part of the walk.
    instructions += Double(max(0, costs.entryReads - 4 * costs.walks)) * walk.perEntryRead
    instructions += Double(costs.pinAtomics) * walk.perAtomic
    instructions += Double(costs.arrayWrites) * walk.perArrayWrite
    instructions += Double(costs.lookups) * walk.perLookup
    instructions += Double(costs.rescanReads) * perRescanRead
    instructions += Double(costs.unpinAtomics) * perUnpinAtomic
    instructions += Double(costs.migratedPages) * instructionsPerMigratedPage
    var nanoseconds = instructions * nanosecondsPerInstruction
    if costs.faults > 0 {
      let pagesAFault = min(512, max(1, Double(pages) / Double(costs.faults)))
      nanoseconds +=
        Double(costs.faults)
        * (nanosecondsPerFault + pagesAFault * nanosecondsPerClearedPage)
    }
    return Int(nanoseconds.rounded())
  }
}
