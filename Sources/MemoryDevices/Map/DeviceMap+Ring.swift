// Invariant: the pins of a buffer are folded only when nothing is refused any more.

internal import MemoryModel

extension DeviceMap {
  /// Folds the pins of a registered buffer to one a folio where the pages allow it, and charges the user
  /// (rule P7.30).
  ///
  /// Kernel: `io_check_coalesce_buffer()`, `io_buffer_account_pin()`, io_uring/rsrc.c.
  ///
  /// - Returns: Why it is refused: the user's limit.
  func settleRing(
    _ machine: inout Machine, _ device: DeviceAttachment, _ mapping: inout DeviceMapping
  ) -> Refusal? {
    guard let held = record.flatMap({ machine.pin($0) }) else { return nil }
    var folios: [(folio: Folio, first: PFN, pages: Int)] = []
    var mayFold = true
    var charged = 0
    var counted: Set<Int> = []
    // A compound page that another buffer of the ring has counted is not counted again.
    for buffer in device.mappings {
      guard let pin = buffer.pin, let record = machine.pin(pin) else { continue }
      machine.forEachRun(record) { first, _ in
        if let folio = machine.folio(of: first), folio.order > 0 {
          counted.insert(folio.head.index)
        }
      }
    }
    machine.forEachRun(held) { first, pages in
      let folio = machine.folio(of: first) ?? Folio(first, order: 0)
      if folio.order == 0 {
        charged += pages
      } else if counted.insert(folio.head.index).inserted {
        charged += folio.pages
      }
      if let last = folios.last, last.folio == folio, last.first.index + last.pages == first.index {
        folios[folios.count - 1].pages += pages
      } else {
        folios.append((folio, first, pages))
      }
    }
    if charged > machine.memlockRoom(device) {
      return limitRefusal(machine, device, charged)
    }
    // All folios of one size, the first to its end, the last from its start.
    let order = folios.first?.folio.order ?? 0
    for (index, part) in folios.enumerated() {
      let start = part.first.index - part.folio.head.index
      let isWhole =
        (index == 0 || start == 0)
        && (index == folios.count - 1 || start + part.pages == part.folio.pages)
      if part.folio.order != order || !isWhole { mayFold = false }
    }
    mapping.isCoalesced = mayFold && order > 0
    if mapping.isCoalesced {
      for part in folios where part.pages > 1 {
        machine.dropPins(of: part.folio, part.pages - 1, held)
      }
      machine.keepOnePinAFolio(held.id, folios.map { ($0.first, $0.pages) })
    }
    var runs = 0
    machine.forEachFrameRun(mapping) { _, _, _ in runs += 1 }
    mapping.runs = runs
    mapping.records = mapping.isCoalesced ? folios.count : mapping.pages
    mapping.bytes = mapping.records * 16
    mapping.charged = charged
    machine.charge(attachment, charged)
    return nil
  }
}
