// Invariant: asking changes what a device will find, never a reference: no holder that pins can let go.

extension Machine {
  /// Asks everybody who maps frames of a range for a device to give them up, where the kernel is one that
  /// asks (rules P9.10 to P9.12).
  ///
  /// A device that faults loses its entries, and faults again later. An IOMMU that cannot fault goes on
  /// reaching its pages, so its holder refuses.
  package mutating func askForPages(in range: PFNRange) {
    guard kernel.revocation == .forced, !devices.attachments.isEmpty else { return }
    for id in devices.attachments.indices {
      for index in devices.attachments[id].mappings.indices {
        let mapping = devices.attachments[id].mappings[index]
        if devices.attachments[id].kind == .odp {
          let lost = mapping.seen.filter { range.contains($0.value) }.keys
          let fresh = lost.filter { !mapping.takenBack.contains($0) }
          devices.attachments[id].mappings[index].takenBack.formUnion(fresh)
          devices.attachments[id].revocation.complied += fresh.count
        } else if let record = mapping.pin.flatMap({ pin($0) }) {
          var held = 0
          forEachRun(record) { first, pages in
            held += max(0, min(first.index + pages, range.end) - max(first.index, range.start))
          }
          devices.attachments[id].revocation.refused += held
        }
      }
    }
  }

  /// What the device found again after its entry was taken back.
  package mutating func noteAccess(_ id: Int, _ mapping: Int, page: Int, _ frame: PFN?) {
    guard let index = devices.attachments[id].mappings.firstIndex(where: { $0.id == mapping })
    else { return }
    devices.attachments[id].mappings[index].seen[page] = frame
    devices.attachments[id].mappings[index].takenBack.remove(page)
  }
}
