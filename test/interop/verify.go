// Verifies a published ledger with golang.org/x/mod/sumdb/note and tlog, and nothing of ours.
//
//	GO111MODULE=off GOPATH=/usr/share/gocode go run verify.go DIR [CHECKPOINT | PROOF.tlog-proof ...]
//
// The checkpoint in DIR must be as DIR/policy asks for (C2SP tlog-policy), and its root that of all entries
// and tiles in DIR; likewise the missions' checkpoint, if there is one, by DIR/policy.missions. It, the
// checkpoints that are named and those of proofs must be of the same history.
package main

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "FAILED:", err)
		os.Exit(1)
	}
}

func demand(isTrue bool, why string, facts ...interface{}) {
	if !isTrue {
		must(fmt.Errorf(why, facts...))
	}
}

func read(path string) string {
	b, err := os.ReadFile(path)
	must(err)
	return string(b)
}

func decode(text string) []byte {
	b, err := base64.StdEncoding.DecodeString(text)
	must(err)
	return b
}

func hashOf(text string) (hash tlog.Hash) {
	b := decode(text)
	demand(len(b) == tlog.HashSize, "a hash has %d bytes", len(b))
	copy(hash[:], b)
	return hash
}

// --- policy --------------------------------------------------------------------------------------

// cosigner verifies cosignatures of type 0x04, which note.NewVerifier does not know.
type cosigner struct {
	name string
	hash uint32
	key  ed25519.PublicKey
}

func (c cosigner) Name() string    { return c.name }
func (c cosigner) KeyHash() uint32 { return c.hash }
func (c cosigner) Verify(msg, sig []byte) bool {
	if len(sig) != 8+ed25519.SignatureSize {
		return false
	}
	head := fmt.Sprintf("cosignature/v1\ntime %d\n", binary.BigEndian.Uint64(sig))
	return ed25519.Verify(c.key, append([]byte(head), msg...), sig[8:])
}

// signer is a key as a signature line names it.
type signer struct {
	name string
	hash uint32
}

type group struct {
	name    string
	want    int
	members []string
}

type policy struct {
	keys      []note.Verifier
	logs      map[signer]bool
	witnesses map[signer]string
	groups    []group
	quorum    string
}

func parsePolicy(text string) policy {
	p := policy{logs: map[signer]bool{}, witnesses: map[signer]string{}}
	seen := map[string]bool{}
	for _, line := range strings.Split(text, "\n") {
		f := strings.Fields(line)
		switch {
		case len(f) == 0 || strings.HasPrefix(f[0], "#"):
		case f[0] == "log" && len(f) > 1:
			v, err := note.NewVerifier(f[1])
			must(err)
			p.keys = append(p.keys, v)
			p.logs[signer{v.Name(), v.KeyHash()}] = true
		case f[0] == "witness" && len(f) > 2:
			// One key under two names would make one signer two.
			part := strings.SplitN(f[2], "+", 3)
			demand(len(part) == 3 && !seen[f[1]] && !seen[part[2]], "policy: %s, or its key, is there twice", f[1])
			seen[f[1]], seen[part[2]] = true, true
			hash, err := strconv.ParseUint(part[1], 16, 32)
			must(err)
			// Go knows no ML-DSA-44, type 06: such a line never counts here.
			if key := decode(part[2]); key[0] == 4 {
				p.keys = append(p.keys, cosigner{part[0], uint32(hash), key[1:]})
				p.witnesses[signer{part[0], uint32(hash)}] = f[1]
			}
		case f[0] == "group" && len(f) > 3:
			want, err := strconv.Atoi(strings.NewReplacer("any", "1", "all", strconv.Itoa(len(f)-3)).Replace(f[2]))
			must(err)
			demand(want > 0, "policy: %s wants nobody", f[1])
			p.groups = append(p.groups, group{f[1], want, f[3:]})
		case f[0] == "quorum" && len(f) == 2:
			p.quorum = f[1]
		default:
			demand(false, "policy: %q", line)
		}
	}
	return p
}

// judge demands a line of one of the logs, and of so many different witnesses as the quorum wants.
func (p policy) judge(name, origin string, sigs []note.Signature) {
	logs, met := 0, map[string]bool{}
	for _, s := range sigs {
		key := signer{s.Name, s.Hash}
		if p.logs[key] && s.Name == origin {
			logs++
		} else if witness, isKnown := p.witnesses[key]; isKnown {
			met[witness] = true
		}
	}
	cosigned := len(met)
	for _, g := range p.groups {
		count := 0
		for _, member := range g.members {
			if met[member] {
				count++
			}
		}
		met[g.name] = count >= g.want
	}
	demand(logs > 0, "%s: no log signed it", name)
	demand(met[p.quorum], "%s: %d known cosignatures are not the quorum %q", name, cosigned, p.quorum)
	fmt.Printf("%s: lines of the log: %d, cosignatures: %d, quorum %q is met\n", name, logs, cosigned, p.quorum)
}

// open verifies a checkpoint against a policy and parses its three lines.
func (p policy) open(name, text string) tlog.Tree {
	n, err := note.Open([]byte(text), note.VerifierList(p.keys...))
	must(err)
	lines := strings.Split(n.Text, "\n")
	demand(len(lines) == 4, "%s: %d lines", name, len(lines)-1)
	p.judge(name, lines[0], n.Sigs)
	size, err := strconv.ParseInt(lines[1], 10, 64)
	must(err)
	return tlog.Tree{N: size, Hash: hashOf(lines[2])}
}

// --- tree ----------------------------------------------------------------------------------------

// files reads tiles: Go's own paths have "8/" after "tile/", and call entries "data".
type files struct{ dir string }

func (f files) Height() int                     { return 8 }
func (f files) SaveTiles([]tlog.Tile, [][]byte) {}
func (f files) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	var all [][]byte
	for _, t := range tiles {
		path := strings.Replace(strings.Replace(t.Path(), "tile/8/", "tile/", 1), "/data/", "/entries/", 1)
		b, err := os.ReadFile(filepath.Join(f.dir, path))
		if err != nil {
			return nil, err
		}
		all = append(all, b)
	}
	return all, nil
}

// hashes of a tree, in Go's order.
type hashes []tlog.Hash

func (h hashes) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	found := make([]tlog.Hash, len(indexes))
	for i, index := range indexes {
		found[i] = h[index]
	}
	return found, nil
}

// checkTree builds the tree of the entries in the files, and compares its root and all of its tiles.
// Go's reader of tiles would not do instead: that of golang.org/x/mod 0.7.0 takes tiles below the right
// edge as they are, where several of the subtrees that make the root lie in one tile.
func checkTree(dir, name string, tree tlog.Tree) {
	var all hashes
	for first := int64(0); first < tree.N; first += 256 {
		t := tlog.Tile{H: 8, L: -1, N: first / 256, W: 256}
		if first+256 > tree.N {
			t.W = int(tree.N - first)
		}
		data, err := files{dir}.ReadTiles([]tlog.Tile{t})
		must(err)
		rest := data[0]
		for id := first; id < first+int64(t.W); id++ {
			demand(len(rest) >= 2 && len(rest) >= 2+int(binary.BigEndian.Uint16(rest)), "entry %d is cut", id)
			end := 2 + int(binary.BigEndian.Uint16(rest))
			stored, err := tlog.StoredHashes(id, rest[2:end], all)
			must(err)
			all = append(all, stored...)
			rest = rest[end:]
		}
		demand(len(rest) == 0, "bytes behind entry %d", first+int64(t.W)-1)
	}
	root, err := tlog.TreeHash(tree.N, all)
	must(err)
	demand(root == tree.Hash, "%s: its root is not that of the %d entries", name, tree.N)
	count := 0
	for _, t := range tlog.NewTiles(8, 0, tree.N) {
		// Go counts parts of all widths; one, as wide as the tree, is enough.
		if t.W < 256 && t.N*256+int64(t.W) != tree.N>>(8*t.L) {
			continue
		}
		want, err := tlog.ReadTileData(t, all)
		must(err)
		have, err := files{dir}.ReadTiles([]tlog.Tile{t})
		must(err)
		demand(string(have[0]) == string(want), "%s: not the hashes of the tree", t.Path())
		count++
	}
	fmt.Printf("%s: its root is that of the %d entries, and so are %d tiles\n", name, tree.N, count)
}

// checkHistory demands that the tree goes on from an earlier one.
func checkHistory(dir, name string, tree, old tlog.Tree) {
	demand(old.N <= tree.N, "%s: %d entries, the tree has %d", name, old.N, tree.N)
	proof, err := tlog.ProveTree(tree.N, old.N, tlog.TileHashReader(tree, files{dir}))
	must(err)
	must(tlog.CheckTree(proof, tree.N, tree.Hash, old.N, old.Hash))
	fmt.Printf("%s: the tree of %d entries goes on from its %d\n", name, tree.N, old.N)
}

// checkProof verifies a C2SP tlog-proof alone, without the files; its tree is returned.
func checkProof(name, text string, p policy) tlog.Tree {
	parts := strings.SplitN(text, "\n\n", 2)
	lines := strings.Split(parts[0], "\n")
	demand(len(parts) == 2 && len(lines) > 2 && lines[0] == "c2sp.org/tlog-proof@v1", "%s: no proof", name)
	tree := p.open(name, parts[1])
	// Our extra line holds the entry of 54 bytes, then what opens it.
	extra := decode(strings.TrimPrefix(lines[1], "extra "))
	demand(len(extra) == 54+64, "%s: its extra line has %d bytes", name, len(extra))
	index, err := strconv.ParseInt(strings.TrimPrefix(lines[2], "index "), 10, 64)
	must(err)
	var proof tlog.RecordProof
	for _, line := range lines[3:] {
		proof = append(proof, hashOf(line))
	}
	must(tlog.CheckRecord(proof, tree.N, tree.Hash, index, tlog.RecordHash(extra[:54])))
	fmt.Printf("%s: entry %d is under the root\n", name, index)
	return tree
}

func main() {
	demand(len(os.Args) > 1, "usage: verify DIR [CHECKPOINT | PROOF.tlog-proof ...]")
	dir := os.Args[1]
	p := parsePolicy(read(filepath.Join(dir, "policy")))
	tree := p.open("checkpoint", read(filepath.Join(dir, "checkpoint")))
	checkTree(dir, "checkpoint", tree)
	if text, err := os.ReadFile(filepath.Join(dir, "checkpoint.missions")); err == nil {
		missions := parsePolicy(read(filepath.Join(dir, "policy.missions")))
		earlier := missions.open("checkpoint.missions", string(text))
		checkTree(dir, "checkpoint.missions", earlier)
		checkHistory(dir, "checkpoint.missions", tree, earlier)
	} else if !os.IsNotExist(err) {
		must(err)
	}
	for _, path := range os.Args[2:] {
		name, text := filepath.Base(path), read(path)
		if strings.HasSuffix(path, ".tlog-proof") {
			checkHistory(dir, name, tree, checkProof(name, text, p))
		} else {
			checkHistory(dir, name, tree, p.open(name, text))
		}
	}
}
