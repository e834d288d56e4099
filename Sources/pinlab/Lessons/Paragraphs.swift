/// Texts in paragraphs.
enum Paragraphs {
  /// Breaks lines at spaces.
  ///
  /// Lines of a paragraph are joined; paragraphs stand between empty lines. Lines that begin with two spaces
  /// stay as they are: examples.
  static func wrapped(_ text: String, columns: Int, indent: Int = 0) -> String {
    let margin = String(repeating: " ", count: indent)
    var lines: [String] = []
    var words: [Substring] = []
    func flush() {
      guard !words.isEmpty else { return }
      var line = margin
      var isEmpty = true
      for word in words {
        if !isEmpty, line.count + 1 + word.count > max(columns, 20) {
          lines.append(line)
          line = margin
          isEmpty = true
        }
        line += (isEmpty ? "" : " ") + word
        isEmpty = false
      }
      lines.append(line)
      words = []
    }
    for line in text.split(separator: "\n", omittingEmptySubsequences: false) {
      if line.hasPrefix("  ") {
        flush()
        lines.append(margin + line)
      } else if line.allSatisfy(\.isWhitespace) {
        flush()
        if let last = lines.last, !last.isEmpty { lines.append("") }
      } else {
        words += line.split(separator: " ")
      }
    }
    flush()
    while lines.last?.isEmpty == true { lines.removeLast() }
    return lines.joined(separator: "\n")
  }
}
