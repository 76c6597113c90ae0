import { allow, type Decision, deny } from './decision.ts';

/** What an upload may weigh in bytes: the file itself, and the form around it. */
export type SizePolicy = { fileBytes: number; formBytes: number };

/** What a whole body may weigh, whatever its parts claim: the security bound. */
export const maxBodyBytes = ({ fileBytes, formBytes }: SizePolicy): number => fileBytes + formBytes;

/** Judges what a form has beside its file, once both are counted. */
export function checkForm(bodyBytes: number, fileBytes: number, { formBytes }: SizePolicy): Decision {
  const bytes = bodyBytes - fileBytes;
  if (bytes <= formBytes) return allow;
  return deny('BODY_TOO_LARGE', `the form has ${bytes} bytes beside its file, ${formBytes} allowed`);
}

/** Judges an announced Content-Length against a bound, before a byte of the body is read; undefined when none was announced. */
export function checkAnnounced(max: number, bytes: number | undefined): Decision {
  if (bytes === undefined || bytes <= max) return allow;
  return deny('BODY_TOO_LARGE', `${bytes} bytes announced, ${max} allowed`);
}
