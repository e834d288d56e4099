internal import MemoryModel

extension PageExplanation: CustomStringConvertible {
  /// The explanation in some lines, as `why` prints it.
  public var description: String { lines.joined(separator: "\n") }

  var lines: [String] {
    var lines = ["\(pfn)  \(whereItIs)"]
    for place in places.prefix(4) {
      let level = place.level == .pte ? "" : " (\(place.level))"
      lines.append(
        "  \(how(place)) \(place.name) at "
          + "0x\(String(place.address, radix: 16))\(level)")
    }
    if places.count > 4 { lines.append("  and at \(places.count - 4) more places") }
    if let facts {
      lines.append(
        "  \(counted(facts.references, "reference")): \(facts.expectedReferences) of mappings and "
          + "caches" + (holders.isEmpty ? "" : ", and"))
      for holder in holders {
        lines.append("    \(holder.references) of \(holder.text)" + since(holder.operation))
      }
      if !facts.flags.isEmpty { lines.append("  flags: " + facts.flags.joined(separator: " ")) }
    }
    if let migration {
      let reason = migration.reason.isEmpty ? "" : ": \(migration.reason)"
      append("  \(migration.isPossible ? "can" : "cannot") move\(reason)", migration, to: &lines)
    }
    if let pinning {
      let verdict = pinning.isPossible ? "pinnable" : "not pinnable here"
      append("  \(verdict): \(pinning.reason)", pinning, to: &lines)
    }
    return lines
  }

  /// A line with its source, which goes below when both do not fit into a terminal's 80 columns.
  private func append(_ line: String, _ verdict: Verdict, to lines: inout [String]) {
    let source = "(rule \(verdict.rule), \(verdict.function))"
    if line.count + source.count < 80 {
      lines.append("\(line) \(source)")
    } else {
      lines += [line, "    \(source)"]
    }
  }

  private func how(_ place: Place) -> String {
    if place.isSwapEntry { return "swap entry in" }
    return place.isMigrationEntry ? "migration entry in" : "mapped by"
  }

  private func counted(_ count: Int, _ noun: String) -> String {
    "\(count) \(noun)\(count == 1 ? "" : "s")"
  }

  private func since(_ operation: Int?) -> String {
    operation.map { ", since operation \($0)" } ?? ""
  }

  private var whereItIs: String {
    var parts: [String] = []
    switch state {
    case .hole: return "no memory"
    case .reserved: parts.append("reserved at boot")
    case .free: parts.append("free")
    case .perCPU: parts.append("free, on a per-CPU list")
    case .pool: parts.append("free huge page of the hugetlb pool")
    case .allocated: parts.append(facts?.kind ?? "allocated")
    }
    if let block, block.order > 0 {
      parts[0] += ", order \(block.order)"
      if block.start != pfn { parts[0] += " from \(block.start)" }
    }
    if let zone {
      let kind = pageblockType == .isolate || cmaArea == nil ? pageblockType.name : "CMA"
      let type = "\(kind) block" + (cmaArea.map { " of area \($0)" } ?? "")
      parts.append("\(type) in zone \(zone)" + (hasNodes ? " of node \(node)" : ""))
    }
    return parts.joined(separator: ", ")
  }
}
