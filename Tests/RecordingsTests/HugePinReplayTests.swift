import MemoryOperations
import Testing

@testable import MemoryModel
@testable import Recordings

/// What recorded scripts do to hugetlb mappings, done by the model's own operations: faults, pins with
/// their migrations, pins of files, unmaps.
///
/// Results, page tables, references, counters and free lists
/// of the pool must be the recorded ones.
@Suite struct HugePinReplayTests {
  static let pinning = HugePageReplayTests.withPool.filter { path in
    ["D-gup-12", "D-gup-13", "D-gup-20", "D-gup-31", "D-gup-35"].contains {
      ReplayTests.name(path).hasPrefix($0)
    }
  }

  @Test("P2.36, P3.70, P4.15: recorded pins of huge pages", arguments: pinning)
  func pinsAgree(_ path: String) throws {
    var script = try HugePinScript(try Recording(path: path))
    while let record = try script.next() {
      let difference = script.run(record)
      #expect(difference == nil, "#\(record.i ?? 0) \(record.cmd ?? record.op)")
      if difference != nil { break }
    }
    #expect(script.compared >= 8)
    let broken = script.machine.check() ?? script.machine.checkMemory()
    #expect(broken == nil)
  }
}

/// One recorded script on its way through the model.
struct HugePinScript: ~Copyable {
  let recording: Recording
  var machine: Machine
  let space: Int
  var position: Int
  var pins: [Int: [Int]] = [:]
  var file = 0
  /// Results, page tables and dumps compared.
  var compared = 0

  init(_ recording: Recording) throws {
    self.recording = recording
    var start = 0
    while try recording.record(start).pages == nil { start += 1 }
    let image = try MachineImage(try recording.record(start), of: recording)
    var restored = try Machine.restore(image)
    space = restored.createSpace(name: "init", charged: false) ?? 0
    position = start + 1
    machine = restored
  }

  mutating func next() throws -> RecordingRecord? {
    guard position < recording.count else { return nil }
    defer { position += 1 }
    return try recording.record(position)
  }

  /// Does what a record says, and tells the first difference.
  mutating func run(_ record: RecordingRecord) -> String? {
    let before = counters()
    let difference = perform(record)
    if let difference { return difference }
    guard ["pin", "unpin", "mfpin", "touch"].contains(record.op), let deltas = record.d else {
      return nil
    }
    for (name, value) in counters() where value - (before[name] ?? 0) != deltas[name] ?? 0 {
      return "\(name) grew by \(deltas[name] ?? 0), in the model by \(value - (before[name] ?? 0))"
    }
    return nil
  }

  private func counters() -> [String: Int] {
    var found = [
      "nr_foll_pin_acquired": machine.total(.pinAcquired),
      "nr_foll_pin_released": machine.total(.pinReleased),
    ]
    for name in [
      "pgmigrate_success", "pgmigrate_fail", "htlb_buddy_alloc_success", "htlb_buddy_alloc_fail",
      "thp_migration_success", "thp_migration_fail", "pgfault",
    ] {
      found[name] = machine.event(named: name)
    }
    return found
  }

  private mutating func perform(_ record: RecordingRecord) -> String? {
    let words = (record.cmd ?? "").split(separator: " ")
    let page = (record.addr ?? record.uaddr ?? 0) >> 12
    switch record.op {
    case "user" where words.count > 2 && words[1].hasSuffix("nr_hugepages"):
      _ = try? machine.setHugePages(order: 9, count: Int(words[2]) ?? 0)
    case "mmap": return map(record, page)
    case "munmap":
      var unmap = UnmapOperation(
        space: space, pages: page..<page + ((record.len ?? 0) + 4095) >> 12)
      unmap.run(&machine)
    case "touch": return touch(record, page)
    case "pin": return pin(record, page)
    case "mfpin": return pinFile(record, words)
    case "unpin": unpin(record.h ?? 0)
    case "tempref", "putref": return refer(record)
    case "page": return compareFolio(record)
    case "pfns": return comparePages(record, page)
    case "dump", "dumpfull": return compareDump(record)
    default: break
    }
    return nil
  }

  private mutating func map(_ record: RecordingRecord, _ page: Int) -> String? {
    guard record.type?.hasPrefix("hugetlb") == true else { return nil }
    let pages = (record.len ?? 0) >> 12
    guard
      case .success(let file) = machine.createFile(
        .hugetlb(order: 9), name: "anon_hugepage", pages: pages)
    else { return "no file" }
    self.file = file
    var flags: MemoryArea.Flags = [.read, .write]
    if record.type == "hugetlb_shared" { flags.insert(.shared) }
    let mapped = machine.mapArea(
      space, start: page, pages: pages, flags, .file(file, offset: 0), replacing: true)
    machine.dropUser(file)
    if case .failure(let refusal) = mapped { return refusal.message }
    return nil
  }

  private mutating func touch(_ record: RecordingRecord, _ page: Int) -> String? {
    var done = 0
    for index in 0..<(record.nr ?? 0) {
      var fault = FaultOperation(
        space: space, page: page + index * (record.step ?? 1), access: .write, writes: true)
      guard case .mapped = fault.run(&machine) else { break }
      done += 1
    }
    compared += 1
    return done == record.done ? nil : "\(done) pages touched, recorded \(record.done ?? 0)"
  }

  private mutating func pin(_ record: RecordingRecord, _ page: Int) -> String? {
    var pin = Pin(
      PinRequest(
        space: space, startPage: page, pages: record.nr ?? 0,
        flags: GUPFlags(rawValue: UInt32(record.foll ?? 0)),
        entryPoint: record.fast == 1 ? .fast : .locked))
    guard let outcome = pin.run(&machine) else { return "the pin waits" }
    let result =
      outcome.pages > 0 ? outcome.pages : -(outcome.refusal?.errno.rawValue ?? 0)
    return keep(record, outcome.pin, result)
  }

  private mutating func pinFile(_ record: RecordingRecord, _ words: [Substring]) -> String? {
    var pin = MemfdPin(
      MemfdPinRequest(
        file: file, start: Int(words[3]) ?? 0, end: Int(words[4]) ?? 0, maximumFolios: 1 << 20,
        space: space))
    guard let outcome = pin.run(&machine) else { return "the pin waits" }
    let result =
      outcome.folios > 0 ? outcome.folios : -(outcome.refusal?.errno.rawValue ?? 0)
    return keep(record, outcome.pin, result)
  }

  /// Keeps a pin for its unpin, and compares its pages.
  private mutating func keep(_ record: RecordingRecord, _ id: Int?, _ result: Int) -> String? {
    compared += 1
    if let id { pins[record.h ?? 0, default: []].append(id) }
    if result != record.ret { return "returns \(record.ret ?? 0), in the model \(result)" }
    var found: [Int] = []
    if let id, let pin = machine.pin(id) {
      for run in machine.pinnedRuns(pin) {
        found += run.first.index..<run.first.index + run.pages
      }
    }
    var recorded: [Int] = []
    for run in record.pfns ?? [] {
      recorded += (0..<abs(run[1])).map { run[0] + $0 * run[1].signum() * stride(record) }
    }
    return found == recorded ? nil : "other pages are pinned"
  }

  /// Heads of folios that follow each other would be 512 pages apart.
  private func stride(_ record: RecordingRecord) -> Int { record.op == "mfpin" ? 512 : 1 }

  private mutating func unpin(_ handle: Int) {
    for id in pins.removeValue(forKey: handle) ?? [] {
      var costs = OperationCosts()
      _ = machine.unpin(
        machine.pinWords(id), .pin, limit: .max >> 1, batched: true, dirty: false, &costs)
      machine.removePin(id)
    }
  }

  private mutating func refer(_ record: RecordingRecord) -> String? {
    guard let head = record.head_pfn ?? record.pfn, let folio = machine.folio(of: PFN(head)) else {
      return nil
    }
    if record.op == "tempref" {
      _ = machine.takeTemporaryReference(folio.head, holder: "tempref")
    } else if let held = machine.temporaryReferences.first(where: { $0.page == folio.head }) {
      machine.putTemporaryReference(held.id)
    }
    return compareFolio(record)
  }

  private mutating func compareFolio(_ record: RecordingRecord) -> String? {
    guard let head = record.head_pfn, record.order == 9, let recorded = record.folio_ref,
      let folio = machine.folio(of: PFN(head))
    else { return nil }
    compared += 1
    let found = [
      machine.references(folio), machine.mappings(folio), machine.pinCount(folio),
      machine.isLongTermPinnable(folio) ? 1 : 0,
    ]
    let wanted = [
      recorded, record.folio_mapcount ?? 0, record.pincount ?? 0, record.lt_pinnable ?? 0,
    ]
    return found == wanted
      ? nil : "references, mappings, pins, pinnable are \(wanted), in the model \(found)"
  }

  private mutating func comparePages(_ record: RecordingRecord, _ first: Int) -> String? {
    compared += 1
    for run in record.map ?? [] {
      for index in 0..<abs(run.count) {
        let found = machine.frame(space, page: first + run.index + index)?.index ?? -1
        let wanted = run.pfn < 0 ? -1 : run.pfn + index * run.count.signum()
        if found != wanted {
          return "page \(run.index + index) is \(wanted), in the model \(found)"
        }
      }
    }
    return nil
  }

  private mutating func compareDump(_ record: RecordingRecord) -> String? {
    compared += 1
    for state in record.hstates ?? [] {
      guard let pool = machine.hugePool(order: state.order) else { continue }
      let found = [pool.total, pool.free, pool.reserved, pool.surplus]
      let wanted = [
        state.nr_huge_pages, state.free_huge_pages, state.resv_huge_pages,
        state.surplus_huge_pages,
      ]
      if found != wanted {
        return "total, free, promised, surplus are \(wanted), in the model \(found)"
      }
      let list = machine.freeHugePages(order: state.order).map(\.index)
      if list != state.free { return "the free list is \(state.free), in the model \(list)" }
    }
    return nil
  }
}
