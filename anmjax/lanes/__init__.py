"""Arrays of lanes: batch-trailing layout, blocks, gathers, phasors. Knows no grid."""
