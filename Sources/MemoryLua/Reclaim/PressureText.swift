internal import MemoryModel

/// What a pressure prints: what it has, where it came from, and what stayed.
enum PressureText {
  static func text(
    _ record: PressureRecord, size: String, _ swap: (total: Int, used: Int)
  ) -> String {
    let effect = record.effect
    var lines = ["pressure #\(record.id): \(size) of \(record.requested) pages"]
    if let refusal = record.refusal { lines[0] += "; \(refusal.message)" }
    if effect.scanned > 0 || !effect.killed.isEmpty {
      var went: [String] = []
      if effect.files > 0 { went.append("\(effect.files) pages of files") }
      if effect.anonymous > 0 {
        went.append(
          "\(effect.anonymous) anonymous and shmem, \(effect.swappedOut) of them written to swap")
      }
      lines.append("  reclaimed: " + (went.isEmpty ? "nothing" : went.joined(separator: ", ")))
      if let left = left(effect, swap) { lines.append("  left: " + left) }
    }
    if effect.pinned > 0, effect.scanned > 0 || !effect.killed.isEmpty {
      lines.append("  pinned, so neither reclaimed nor swapped: \(effect.pinned) pages (rule P9.1)")
    }
    for process in effect.killed {
      var had = ["\(process.resident) pages resident"]
      if process.swapped > 0 { had.append("\(process.swapped) in swap") }
      if process.pinned > 0 { had.append("\(process.pinned) pinned") }
      lines.append("  killed: \(process.name), with " + had.joined(separator: ", "))
    }
    return lines.joined(separator: "\n")
  }

  private static func left(_ effect: PressureEffect, _ swap: (total: Int, used: Int)) -> String? {
    var parts: [String] = []
    if effect.leftFiles > 0 { parts.append("\(effect.leftFiles) pages of files") }
    if effect.leftAnonymous > 0 {
      let why =
        if swap.total == 0 {
          ", for want of swap"
        } else if swap.used == swap.total {
          ", because swap is full"
        } else {
          ", with \(swap.total - swap.used) slots of swap free"
        }
      parts.append("\(effect.leftAnonymous) anonymous and shmem pages" + why)
    }
    return parts.isEmpty ? nil : parts.joined(separator: ", ")
  }
}
