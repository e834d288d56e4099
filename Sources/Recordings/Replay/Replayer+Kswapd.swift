// When a woken kswapd gets to run is the scheduler's business: the recording says when. What it was woken
// for, and what it does, is the model's.

internal import MemoryModel

extension Replayer {
  static let kswapdRun = RecordingEvent.key("kw")
  static let kswapdSleep = RecordingEvent.key("ks")
  static let kswapdWakeup = RecordingEvent.key("wk")

  /// One recorded run of kswapd: zone and order must be what the model's was asked for.
  ///
  /// - Parameter slab: What its shrinkers freed.
  mutating func runKswapd(_ event: RecordingEvent, slab: [PFN]) -> Difference? {
    let seen = machine.trace.total
    machine.runRecordedKswapd(node: 0, slab: slab)
    for case let run in machine.trace.events(from: seen) where run.kind == .kswapdWake {
      let model = [Int(run.argument1), Int(run.order)]
      let recorded = Array(event.arguments.prefix(2))
      return model == recorded
        ? nil
        : ("kswapd runs for zone and order \(recorded)", "kswapd runs for zone and order \(model)")
    }
    return ("kswapd runs", "it does not")
  }

  /// The pages that the shrinkers of a run free, and how many events of `rest` say so.
  static func slabPages(_ rest: ArraySlice<RecordingEvent>) -> (pages: [PFN], events: Int) {
    var pages: [PFN] = []
    var events = 0
    for event in rest {
      guard event.key == free, event.comm?.hasPrefix("kswapd") == true, event.arguments[1] == 0
      else { break }
      let repeats = event.repetition(after: 2)
      for index in 0..<abs(repeats) {
        pages.append(PFN(event.arguments[0] + index * repeats.signum()))
      }
      events += 1
    }
    return (pages, events)
  }

  /// kswapd goes to sleep, a tenth of a second after its last run.
  ///
  /// Its first sleep, at boot, comes before the state that the replay begins with.
  mutating func sleepKswapd() -> Difference? {
    machine.endNap(node: 0) ? nil : ("kswapd sleeps", "its node is out of balance")
  }

  /// The wake-ups that a record's own requests caused.
  func compareWakeups(_ record: RecordingRecord, since seen: Int) -> Difference? {
    if machine.trace.lost > seen { return nil }
    let recorded = (record.ev ?? []).filter { $0.key == Self.kswapdWakeup }
      .map { Array($0.arguments.prefix(3)) }
    let model = machine.trace.events(from: seen).filter { $0.kind == .wakeupKswapd }
      .map { [Int($0.argument0 & 0xFF), Int($0.order), Int($0.argument1)] }
    if recorded == model { return nil }
    return ("kswapd is woken for \(recorded)", "kswapd is woken for \(model)")
  }
}
