// Loaded into a command with --import: its standard input and error pass for a terminal, so that a
// test can type into prompts.

const { stdin, stderr } = process
Object.defineProperty(stdin, "isTTY", { value: true })
Object.defineProperty(stderr, "isTTY", { value: true })
Object.defineProperty(stdin, "setRawMode", { value: () => stdin })
