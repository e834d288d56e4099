// What has to hold of devices between operations: I7, and that every count is the sum of what it
// counts.

extension Machine {
  /// Checks that each mapping has the pin that it names, page for page, that no two mappings share one,
  /// and that locked_vm, pinned_vm and the user's count are the sums over mappings and locked areas.
  ///
  /// - Returns: The first that fails, in words; nil if all hold.
  func checkDevices(_ held: Holdings) -> String? {
    var owners: [Int: Int] = [:]
    var locked = Array(repeating: 0, count: spaces.count)
    var pinned = locked
    var user = 0
    for (id, device) in devices.attachments.enumerated() {
      if device.id != id { return "the device at \(id) calls itself \(device.id)" }
      let hasOwner = spaces[device.space].isAlive || held.isEnding(device.space)
      if !device.isOpen || !hasOwner, !device.mappings.isEmpty {
        return "\(device.name) is closed, but maps memory"
      }
      for mapping in device.mappings {
        if let broken = checkMapping(mapping, device) { return broken }
        if let pin = mapping.pin, let other = owners.updateValue(mapping.id, forKey: pin) {
          return "pin #\(pin) belongs to mappings #\(other) and #\(mapping.id)"
        }
        switch device.account {
        case .locked: locked[device.space] += mapping.charged
        case .pinned: pinned[device.space] += mapping.charged
        case .user: user += mapping.charged
        case .none: if mapping.charged != 0 { return "\(device.name) pins nothing, but charges" }
        }
        if device.kind == .iommufd { pinned[device.space] += mapping.charged }
      }
      if device.kind.hasIOVA, let broken = checkAddresses(device) { return broken }
    }
    return checkCounts(locked, pinned, user)
  }

  private func checkCounts(_ locked: [Int], _ pinned: [Int], _ user: Int) -> String? {
    for (id, space) in spaces.enumerated() where space.isAlive {
      let areas = space.areas.reduce(0) { $0 + ($1.flags.contains(.locked) ? $1.pages : 0) }
      if space.lockedPages != areas + locked[id] {
        return "locked_vm of \(space.name) is \(space.lockedPages), areas and devices account for "
          + "\(areas) + \(locked[id])"
      }
      if space.pinnedPages != pinned[id] {
        return "pinned_vm of \(space.name) is \(space.pinnedPages), its devices account for "
          + "\(pinned[id])"
      }
    }
    return user == devices.userLockedPages
      ? nil
      : "locked_vm of the user is \(devices.userLockedPages), its devices account for \(user)"
  }

  private func checkMapping(_ mapping: DeviceMapping, _ device: DeviceAttachment) -> String? {
    let name = "mapping #\(mapping.id) of \(device.name)"
    var pages = 0
    if let id = mapping.pin {
      guard let record = pin(id) else { return "\(name) names pin #\(id), which is gone" }
      if record.holder != device.name || record.space != device.space {
        return "I7: \(name) names the pin of \(record.holder)"
      }
      forEachRun(record) { pages += $1 }
      // While its pages are given back, the runs are fewer.
      if record.isGivingBack, pages < record.pages { return nil }
      if pages != record.pages {
        return "I7: \(name): its pin counts \(record.pages) pages, its runs \(pages)"
      }
    }
    let gaps = mapping.deviceFrames.reduce(0) { $0 + $1.pages }
    let wanted = device.kind == .odp ? 0 : mapping.pages
    if pages + gaps != wanted {
      return "I7: \(name) has \(wanted) pages, \(pages) are pinned and \(gaps) of a device"
    }
    return mapping.users < 1 || mapping.tableEntries < 0 ? "\(name) has no user" : nil
  }

  private func checkAddresses(_ device: DeviceAttachment) -> String? {
    let sorted = device.mappings.sorted { $0.iova < $1.iova }
    for (one, next) in zip(sorted, sorted.dropFirst()) where one.iovaRange.upperBound > next.iova {
      return "mappings #\(one.id) and #\(next.id) of \(device.name) overlap"
    }
    return nil
  }
}
