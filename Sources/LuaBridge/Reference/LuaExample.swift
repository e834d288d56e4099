// Examples that are checked: every declared example runs, and promises what it displays.

/// Runs the examples of declarations.
public enum LuaExample {
  /// Runs an example line by line, as if typed at the prompt of `session`, and compares what lines
  /// that end in `--> text` display.
  ///
  /// A statement may span several lines. `--> error: text` promises a message that contains text.
  ///
  /// - Returns: What went wrong, in words; nil when the example keeps its promises.
  public static func check(_ source: String, in session: LuaSession) -> String? {
    var pending = ""
    for line in source.split(separator: "\n", omittingEmptySubsequences: false) {
      let parts = line.split(separator: "-->", maxSplits: 1, omittingEmptySubsequences: false)
      let promise = parts.count > 1 ? parts[1].trimmed() : nil
      pending += (pending.isEmpty ? "" : "\n") + parts[0]
      guard !pending.allSatisfy(\.isWhitespace) else { continue }
      let evaluation = session.evaluate(pending, chunkName: "=example")
      if let failure = evaluation.outcome.failure {
        if failure.isIncompleteInput { continue }
        guard let promise, promise.hasPrefix("error: "),
          failure.message.contains(promise.dropFirst(7))
        else { return "\(pending)\nfailed: \(failure.message)" }
      } else if let promise {
        let shown = evaluation.displays.joined(separator: "  ")
        guard shown == promise else { return "\(pending)\nshowed \(shown), not \(promise)" }
      }
      pending = ""
    }
    return pending.isEmpty ? nil : "\(pending)\nis incomplete"
  }
}

extension Substring {
  fileprivate func trimmed() -> String {
    var text = drop { $0.isWhitespace }
    while text.last?.isWhitespace == true { text.removeLast() }
    return String(text)
  }
}
