// Package web holds the page that a server shows to a browser: a chat, and a picture of where a token's time goes. The
// sources in src are bundled by the program in build; what they give is committed in dist and embedded, so that neither
// building nor running baleen needs anything of npm.
package web

import (
	"embed"
	"io/fs"
)

//go:embed dist
var files embed.FS

// Policy is the Content-Security-Policy that the page is written for: scripts, styles and pictures from dist alone, talk
// with its own server alone, no frame around it, no string that becomes markup.
const Policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"

// Dist returns the files of the page, index.html among them.
func Dist() fs.FS {
	dist, err := fs.Sub(files, "dist")
	if err != nil {
		panic(err) // "dist" is a valid path: fs.Sub checks nothing else
	}
	return dist
}
