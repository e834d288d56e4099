extension Machine {
  mutating func runKcompactd(node: Int) {}
}
