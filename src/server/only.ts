import type { RequestHandler } from 'express';

/** Refuses whatever method has no route before this one, and names those that have. */
export const only =
  (allow: string): RequestHandler =>
  (_req, res) => {
    res.setHeader('Allow', allow);
    res.status(405).json({ message: `This path knows only ${allow}.` });
  };
