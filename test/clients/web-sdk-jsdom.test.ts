import { jsdomPlace } from './kit/jsdom.ts';
import { webSdkContract } from './web-sdk.contract.ts';

webSdkContract('jsdom', jsdomPlace);
