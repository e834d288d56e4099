/// What an operation under way holds and nobody else knows of.
public struct Holdings: Sendable {
  /// Plain references, by the first frame of their folio.
  package private(set) var references: [PFN: Int] = [:]
  /// Frames that it has pinned, once for each pin.
  package private(set) var pins: [PFN] = []
  /// Areas that are out of their process while their entries still go, by its number.
  private var leaving: [Int: [MemoryArea]] = [:]

  /// Processes whose memory is gone and whose devices are closed next.
  private var ending: Set<Int> = []

  public init() {}

  /// The process ends: its memory may be gone before its devices are closed.
  package mutating func addEnd(of space: Int) { ending.insert(space) }

  func isEnding(_ space: Int) -> Bool { ending.contains(space) }

  package mutating func add(_ folio: Folio, _ count: Int = 1) {
    references[folio.head, default: 0] += count
  }

  /// What another operation holds besides.
  package mutating func add(_ other: Holdings) {
    references.merge(other.references, uniquingKeysWith: +)
    pins += other.pins
    leaving.merge(other.leaving, uniquingKeysWith: +)
    ending.formUnion(other.ending)
  }

  /// Areas that are being unmapped, and pages out of the tables that nobody let go yet.
  package mutating func add(_ unmapping: Unmapping) {
    leaving[unmapping.gather.space, default: []] += unmapping.areas
    for entry in unmapping.gather.entries where entry.order >= 0 {
      for offset in 0..<entry.run.count {
        add(Folio(entry.run[offset], order: Int(entry.order)), Int(entry.references))
      }
    }
  }

  /// The area around a page that is being unmapped.
  func leavingArea(_ space: Int, _ page: Int) -> MemoryArea? {
    leaving[space]?.first { $0.start <= page && page < $0.end }
  }

  /// The pages that words name.
  ///
  /// - Parameter perFolio: Each run stands for one pin.
  package mutating func add(
    _ machine: borrowing Machine, _ words: Range<Int>, _ flags: GUPFlags, perFolio: Bool = false
  ) {
    var position = words.lowerBound
    while position < words.upperBound {
      let run = machine.pinnedRun(at: position)
      for pfn in run.first.index..<run.first.index + (perFolio ? 1 : run.pages) {
        if flags.contains(.pin) {
          pins.append(PFN(pfn))
        } else if let folio = machine.folio(of: PFN(pfn)) {
          add(folio)
        }
      }
      position = run.next
    }
  }

  /// What a fast walk has taken of one leaf.
  package mutating func add(_ machine: borrowing Machine, _ grab: FastGrab, _ flags: GUPFlags) {
    guard let (folio, first) = grab.held else { return }
    switch grab.stage {
    case .reread, .allowed:
      if flags.contains(.pin) {
        for offset in 0..<grab.end - grab.page { pins.append(first + offset) }
      } else {
        add(folio, grab.end - grab.page)
      }
    case .test, .convert: add(folio, grab.end - grab.page)
    case .read, .reference, .taken, .stopped: break
    }
  }

  /// The folios of a fault: one that nobody sees yet, or that it shows, and the source of a copy.
  package mutating func add(_ machine: borrowing Machine, _ fault: PageFault.Phase) {
    switch fault {
    case .install(let folio, _, _, let source, _):
      add(folio)
      if let source { add(source) }
    case .installHuge(let folio, _, let source):
      add(folio)
      if let source { add(source) }
    case .swapIn(let folio, _, _, _): add(folio)
    case .show(let pfn, _): if let folio = machine.folio(of: pfn) { add(folio) }
    case .showHuge(let folio, _): add(folio)
    case .queue, .start, .done: break
    }
  }
}
