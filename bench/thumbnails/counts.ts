/** What an upstream was asked for: the picture's bytes, only whether somebody may see it, and what it refused as too much. */
export type Asked = { bytes: number; vouching: number; refused: number };
