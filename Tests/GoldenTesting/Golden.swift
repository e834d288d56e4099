// A golden is a text file beside the test that holds what the test draws. `RECORD=1 swift test`
// writes the files anew. A file that is missing is written, and the test fails once, so that
// somebody reads what was recorded.

#if canImport(Glibc)
  internal import Glibc
#else
  internal import Musl
#endif
public import Testing

/// Compares `text` with `Goldens/<name>.txt` beside the test's file.
public func expectGolden(
  _ text: String, _ name: String, filePath: String = #filePath,
  sourceLocation: SourceLocation = #_sourceLocation
) {
  var directory = filePath
  while directory.last != "/" { directory.removeLast() }
  let path = directory + "Goldens/" + name + ".txt"
  let recorded = read(path)
  if recorded == text { return }
  let isRecording = unsafe getenv("RECORD") != nil
  if recorded == nil || isRecording {
    write(text, to: path)
    if !isRecording {
      Issue.record("\(path) is new; read it, then run again", sourceLocation: sourceLocation)
    }
    return
  }
  Issue.record(
    "\(name) differs from its golden (RECORD=1 records it anew)\n\(difference(recorded!, text))",
    sourceLocation: sourceLocation)
}

/// The first lines that differ, three of them, with what was recorded above what is drawn now.
private func difference(_ old: String, _ new: String) -> String {
  let old = old.split(separator: "\n", omittingEmptySubsequences: false)
  let new = new.split(separator: "\n", omittingEmptySubsequences: false)
  var text = ""
  var shown = 0
  for line in 0..<max(old.count, new.count) where shown < 3 {
    let before = line < old.count ? String(old[line]) : nil
    let after = line < new.count ? String(new[line]) : nil
    if before == after { continue }
    shown += 1
    text += "line \(line + 1):\n- \(before ?? "(none)")\n+ \(after ?? "(none)")\n"
  }
  return text
}

private func read(_ path: String) -> String? {
  guard let file = unsafe fopen(path, "rb") else { return nil }
  defer { unsafe fclose(file) }
  var bytes: [UInt8] = []
  var buffer = [UInt8](repeating: 0, count: 1 << 16)
  while true {
    let got = unsafe fread(&buffer, 1, buffer.count, file)
    if got == 0 { return String(decoding: bytes, as: UTF8.self) }
    bytes += buffer[..<got]
  }
}

private func write(_ text: String, to path: String) {
  guard let file = unsafe fopen(path, "wb") else {
    Issue.record("cannot write \(path): \(unsafe String(cString: strerror(errno)))")
    return
  }
  defer { unsafe fclose(file) }
  let bytes = Array(text.utf8)
  unsafe fwrite(bytes, 1, bytes.count, file)
}
