package build

import "shoal/internal/bt/metainfo"

const (
	minAutoPiece = 64 << 10
	maxAutoPiece = 16 << 20
	aimPieces    = 2000 // pieces that a big release should have at least
	fairPadding  = 0.05 // share of padding above which a hybrid takes shorter pieces
)

// PieceLength is the length of pieces for so many bytes of content: the longest
// power of two from 64 KiB to 16 MiB that makes 2,000 pieces or more.
func PieceLength(content int64) int64 {
	n := int64(minAutoPiece)
	for n < maxAutoPiece && content/(2*n) >= aimPieces {
		n *= 2
	}
	return n
}

// choosePieceLength takes shorter pieces for a hybrid of many small files: its
// padding is hashed, and fetched by clients that do not know padding.
func choosePieceLength(t *tree, v metainfo.Version) int64 {
	n := PieceLength(t.bytes)
	for v == metainfo.Hybrid && n > minAutoPiece && paddingShare(t, n) > fairPadding {
		n /= 2
	}
	return n
}

// paddingShare is the part of piece space that is padding when every file
// begins with a piece. It counts the last file's too: close enough.
func paddingShare(t *tree, pieceLength int64) float64 {
	var padding int64
	for n := range t.files {
		padding += -t.files[n].file.Length & (pieceLength - 1)
	}
	return float64(padding) / float64(max(1, t.bytes+padding))
}
