/** Why a stage cannot do its work. Any other error is the plugin author's to mend. */
export class Failure extends Error {}

/** The pipeline's author must mend a parameter. */
export class InvalidParameter extends Failure {}

/** Whoever made the data must mend it. */
export class InvalidData extends Failure {}

/** The saved state or weights are not what this plugin wrote. */
export class InvalidState extends Failure {}
