internal import MemoryModel

/// What the recorded script's task, PID 1, holds: an address space, pins, references, registers.
struct RecordedTask {
  /// A pin of the script: the records of its calls.
  struct HeldPin {
    var records: [Int]
  }

  let space: Int
  var pins: [Int: HeldPin] = [:]
  /// Files of shared mappings by first page.
  ///
  /// The kernel drops the last reference when the system call returns, and the script is one call.
  var files: [Int: Int] = [:]
  /// Folios taken off the LRU by handle.
  var isolated: [Int: PFN] = [:]

  /// Of the static program: its data below, its stack above everything that scripts map.
  private static let programPage = 0x400
  private static let stackPage = 0x7_ffff_fff0

  /// The task in the state of the first dump: its own pages and tables are there already.
  init?(_ machine: inout Machine) {
    guard let space = machine.createSpace(name: "init", charged: false) else { return nil }
    self.space = space
    for page in [Self.programPage, Self.stackPage] {
      guard
        case .success = machine.mapArea(
          space, start: page, pages: 1, [.read, .write], .anonymous),
        machine.makeTable(space, page: page, level: .pmd, charged: false) != nil
      else { return nil }
    }
  }
}
