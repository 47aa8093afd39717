// Replaces modules that no panel uses.
export default {};
export const loader = { config() {}, init: async () => ({}) };
export const languages = {};
export const editor = {};
