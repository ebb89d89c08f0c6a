package deepseek

// Shared is the folder of -shared.
var Shared = shared
